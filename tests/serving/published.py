"""A home with statistics and generations, written as the product writes them, without training."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from featurestore.definitions import MODALITIES, USER_ACTIVITY, representation_name
from featurestore.generations.base_index import BaseIndex
from featurestore.generations.generation import Generations
from featurestore.generations.indexes import BaseIndexes
from featurestore.online.open import open_online_store
from featurestore.online.store import OnlineStore
from featurestore.representation import representation
from featurestore.settings import FeatureStoreSettings
from foundation.watermark import Watermark
from graphdb.settings import GraphSettings
from graphdb.statistics import STATISTICS
from serving.settings import ServingSettings
from tests.featurestore.activation import make_active

GRAPH_ID = "graph"
DIMS = {"graph": 8, "image": 4, "text": 6}
SCALES = {"graph": 0.5, "image": 2.0, "text": 1.0}
COMMIT_TIME = 1_790_000_000_123_456
COMPUTED_AT = datetime(2026, 11, 21, 3, 0, 0, tzinfo=UTC)

Vectors = dict[str, NDArray[np.float32]]


@dataclass
class Home:
    """A home that tests write and serving reads."""

    path: Path
    online_store_url: str | None = None

    def __post_init__(self) -> None:
        self.settings = FeatureStoreSettings.at(self.path, online_store_url=self.online_store_url)
        self.online: OnlineStore = open_online_store(self.settings)

    @property
    def serving_settings(self) -> ServingSettings:
        return ServingSettings(
            features=self.settings,
            graph=GraphSettings(
                home=self.path, project="mmga", graph_url=f"sqlite:///{self.path / 'graph.db'}"
            ),
        )

    def write_statistics(self, user_ids: Sequence[str], *, commit_time: int = COMMIT_TIME) -> None:
        """Statistics whose first column is the user's number."""
        numbers = np.arange(len(user_ids), dtype=np.float32)
        columns: dict[str, NDArray[np.float32] | NDArray[np.int64]] = {
            name: numbers + 100 * column for column, name in enumerate(STATISTICS)
        }
        columns["graph_version"] = np.full(len(user_ids), 7)
        columns["event_time"] = np.full(len(user_ids), commit_time - 1)
        self.online.write(USER_ACTIVITY, list(user_ids), columns, commit_time=commit_time)
        self.online.set_watermark(
            "statistics", Watermark(graph_id=GRAPH_ID, version=7, commit_time=commit_time)
        )

    def publish(
        self,
        generation_id: str,
        user_ids: Sequence[str],
        vectors: Vectors,
        *,
        activate: bool = True,
        commit_time: int = COMMIT_TIME,
    ) -> None:
        """Seal a generation and write its vectors."""
        generations = Generations(self.settings)
        generations.begin(generation_id)
        generations.seal(generation_id, manifest_of(vectors, len(user_ids), commit_time))
        BaseIndexes(self.settings).put(
            generation_id,
            BaseIndex.of(list(user_ids), fused(vectors)).save,
            Watermark(graph_id=GRAPH_ID, version=5, commit_time=commit_time),
        )
        self.online.write(
            representation_name(generation_id),
            list(user_ids),
            {
                **vectors,
                "graph_version": np.full(len(user_ids), 5),
                "computed_at": np.full(
                    len(user_ids), np.datetime64(COMPUTED_AT.replace(tzinfo=None), "us")
                ),
                "provisional": np.zeros(len(user_ids), np.bool_),
            },
            commit_time=commit_time,
        )
        if activate:
            make_active(self.online, generation_id)


def manifest_of(vectors: Vectors, num_users: int, commit_time: int) -> dict[str, object]:
    """What publishing would record."""
    return {
        "created_at": COMPUTED_AT.isoformat(),
        "graph_id": GRAPH_ID,
        "graph_version": 5,
        "commit_time": commit_time,
        "dims": {name: vectors[name].shape[1] for name in MODALITIES},
        "scales": SCALES,
        "num_users": num_users,
    }


def fused(vectors: Vectors) -> NDArray[np.float32]:
    """R (B, D) of these vectors."""
    return representation(vectors["graph"], vectors["image"], vectors["text"], SCALES)


def random_vectors(num_users: int, seed: int = 0) -> Vectors:
    """Small random vectors (B, D) of each modality."""
    rng = np.random.default_rng(seed)
    return {
        name: rng.standard_normal((num_users, width), np.float32) for name, width in DIMS.items()
    }


def constant_vectors(num_users: int, value: float) -> Vectors:
    """Vectors (B, D) that hold one value everywhere."""
    return {name: np.full((num_users, width), value, np.float32) for name, width in DIMS.items()}
