"""Stock Feast with its SQLite or Redis online store, as its documentation has people use it."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Array, Float32, String
from numpy.typing import NDArray

VIEW = "vectors"


def open_store(folder: Path, online: dict[str, str] | None = None) -> FeatureStore:
    """A feature store with one view of vectors, on a new SQLite file or the store described."""
    folder.mkdir()
    store = FeatureStore(
        config=RepoConfig(
            project="rival",
            provider="local",
            registry=str(folder / "registry.db"),
            online_store=online or {"type": "sqlite", "path": str(folder / "online.db")},
            entity_key_serialization_version=3,
        )
    )
    user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)
    view = FeatureView(
        name=VIEW,
        entities=[user],
        source=FileSource(path=str(folder / "none.parquet"), timestamp_field="event_timestamp"),
        schema=[Field(name="user_id", dtype=String), Field(name="vector", dtype=Array(Float32))],
    )
    store.apply([user, view])
    return store


def write(store: FeatureStore, user_ids: list[str], vectors: NDArray[np.float32]) -> None:
    """Write a vector for each user."""
    frame: Any = pd.DataFrame({"user_id": user_ids, "vector": list(vectors)})
    frame["event_timestamp"] = pd.Timestamp.now(tz="UTC")
    store.write_to_online_store(VIEW, df=frame)


def read(store: FeatureStore, user_ids: list[str]) -> NDArray[np.float32]:
    """The vectors of users as a matrix."""
    rows = [{"user_id": user_id} for user_id in user_ids]
    answer = store.get_online_features(features=[f"{VIEW}:vector"], entity_rows=rows).to_dict()
    return np.array(answer["vector"], np.float32)
