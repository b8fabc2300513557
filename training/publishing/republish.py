"""Restores a generation from the history, after the online store has lost its vectors.

The online store is a projection: the history keeps each published matrix, so no training is
needed. As in publishing, users who left the graph are omitted, and the pointer moves last.
"""

import time
from collections.abc import Callable

import numpy as np

from featurestore.definitions import (
    COMPUTED_AT,
    GRAPH_VERSION,
    MODALITIES,
    PROVISIONAL,
    representation_name,
)
from featurestore.feast_adapter.registry import FeatureRegistry
from featurestore.generations.base_index import BaseIndex
from featurestore.generations.generation import Generations
from featurestore.history import History
from featurestore.online.open import open_online_store
from featurestore.online.store import OnlineStore
from featurestore.settings import FeatureStoreSettings
from foundation.watermark import Watermark
from graphdb.store import GraphStore
from training.publishing.publish import absent, pages

Progress = Callable[[int, int], None]
"""Called with (users done, of all)."""


def republish(
    generation_id: str,
    store: GraphStore,
    settings: FeatureStoreSettings,
    progress: Progress | None = None,
) -> int:
    """Write a generation's vectors online and activate it; return its number of users.

    The call is idempotent. Raises GenerationMissing, HistoryMissing (it was never published), and
    errors of the stores.
    """
    generation = Generations(settings).get(generation_id)
    manifest, view = generation.manifest, representation_name(generation_id)
    user_ids = list(BaseIndex.load(generation.path).user_ids)
    registry, history = FeatureRegistry(settings), History(settings)
    registry.apply_generation(generation_id, generation.dims)
    online = open_online_store(settings)
    try:
        num_written = 0
        for rows in pages(len(user_ids)):
            page = user_ids[rows]
            num_written += write_page(
                view, page, store, history, online, commit_time=manifest["commit_time"]
            )
            if progress is not None:
                progress(rows.start + len(page), len(user_ids))
        online.set_watermark(
            view,
            Watermark(
                graph_id=manifest["graph_id"],
                version=manifest["graph_version"],
                commit_time=manifest["commit_time"],
            ),
        )
        now = time.time_ns() // 1_000
        online.change_pointer(
            lambda found: found.activated(generation_id, reason="restored", time=now)
        )
    finally:
        online.close()
    registry.activate_service(generation_id)
    return num_written


def write_page(
    view: str,
    user_ids: list[str],
    store: GraphStore,
    history: History,
    online: OnlineStore,
    *,
    commit_time: int,
) -> int:
    """Copy one page from the history, without users who left before or during the copy."""
    left = set(absent(store, user_ids))
    stay = [user_id for user_id in user_ids if user_id not in left]
    names = [*MODALITIES, GRAPH_VERSION, COMPUTED_AT, PROVISIONAL]
    found = history.as_of(view, stay, np.full(len(stay), commit_time), names)
    rows = np.flatnonzero(found.present)
    there = [stay[row] for row in rows]
    columns = {name: column[rows] for name, column in found.features.items()}
    online.write(view, there, columns, commit_time=commit_time)
    head = store.head()
    if left := set(absent(store, there)):
        online.delete(view, sorted(left), before=head.commit_time)
    return len(there) - len(left)
