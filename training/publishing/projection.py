"""Projects a generation over a snapshot: vectors to history and online store, R to the base index.

In this order, each step repeatable:

1. define the view and the service of the generation in the registry;
2. record in the online store what is going to be written, so that a kill leaves its mark;
3. append the vectors to the history and write them online under the snapshot's commit time;
4. delete online who is not in the graph any more: the change feed may have delivered the deletion
   before the row was written, or long ago;
5. replace the base index by R of the users that are left;
6. move the watermark of the vectors, and remove the record of step 2.

N users.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featurestore.definitions import (
    COMPUTED_AT,
    GRAPH_VERSION,
    PROVISIONAL,
    representation_name,
)
from featurestore.generations.base_index import save_index
from featurestore.generations.generation import Generation
from featurestore.history_rows import Slice
from featurestore.representation import representation
from foundation.watermark import Watermark
from graphdb.snapshot.snapshot import Snapshot
from graphdb.store import GraphStore
from training.encoding.all_users import UserVectors
from training.publishing.publication import by_modality
from training.publishing.stores import Stores

PAGE_USERS = 5_000

Progress = Callable[[str, int, int], None]
"""Called with (step, done, total)."""


def writing_stage(generation_id: str) -> str:
    """The stage whose watermark records a projection that has not come to its end."""
    return f"{representation_name(generation_id)}.writing"


def project(
    stores: Stores,
    generation: Generation,
    snapshot: Snapshot,
    vectors: UserVectors,
    progress: Progress | None = None,
) -> int:
    """Do the steps of the module's docstring; return the number of users that left."""
    mark = Watermark(
        graph_id=snapshot.graph_id, version=snapshot.version, commit_time=snapshot.commit_time
    )
    stores.registry.apply_generation(generation.id, generation.dims)
    stores.online.set_watermark(writing_stage(generation.id), mark)
    write_vectors(stores, generation, snapshot, vectors, progress)
    left = delete_left(stores, generation.id)
    save = partial(write_index, generation, snapshot, vectors, set(left))
    stores.indexes.put(generation.id, save, mark)
    stores.online.set_watermark(representation_name(generation.id), mark)
    stores.online.drop_watermark(writing_stage(generation.id))
    return len(left)


def write_vectors(
    stores: Stores,
    generation: Generation,
    snapshot: Snapshot,
    vectors: UserVectors,
    progress: Progress | None,
) -> None:
    """Write all vectors with their provenance, page by page, to history and online store."""
    view, computed_at = representation_name(generation.id), datetime.now(UTC)
    for number, rows in enumerate(pages(snapshot.num_users)):
        user_ids = snapshot.user_ids[rows]
        features = page_features(snapshot, vectors, rows, len(user_ids), computed_at)
        piece = Slice(graph_id=snapshot.graph_id, since=-1, version=snapshot.version, page=number)
        stores.history.append(
            view,
            piece,
            user_ids,
            features,
            event_times=np.full(len(user_ids), snapshot.commit_time, np.int64),
            commit_time=snapshot.commit_time,
        )
        stores.online.write(view, user_ids, features, commit_time=snapshot.commit_time)
        if progress is not None:
            progress("publish", rows.start + len(user_ids), snapshot.num_users)


def page_features(
    snapshot: Snapshot, vectors: UserVectors, rows: slice, num: int, computed_at: datetime
) -> dict[str, NDArray[Any]]:
    """The columns of one page of users."""
    time = np.datetime64(computed_at.replace(tzinfo=None), "s")
    return {
        **{name: matrix[rows] for name, matrix in by_modality(vectors).items()},
        GRAPH_VERSION: np.full(num, snapshot.version, np.int64),
        COMPUTED_AT: np.full(num, time),
        PROVISIONAL: np.zeros(num, np.bool_),
    }


def write_index(
    generation: Generation,
    snapshot: Snapshot,
    vectors: UserVectors,
    left: Collection[str],
    folder: Path,
) -> None:
    """Write R of all users of the snapshot but those who left."""
    user_ids = [user_id for user_id in snapshot.user_ids if user_id not in left]

    def pieces() -> Iterator[NDArray[np.float32]]:
        for rows in pages(snapshot.num_users):
            parts = {name: matrix[rows] for name, matrix in by_modality(vectors).items()}
            stays = [user_id not in left for user_id in snapshot.user_ids[rows]]
            yield representation(**parts, scales=generation.scales)[stays]

    save_index(folder, user_ids, pieces(), sum(generation.dims.values()))


def pages(num_users: int) -> Iterator[slice]:
    """Rows of each page."""
    for start in range(0, num_users, PAGE_USERS):
        yield slice(start, start + PAGE_USERS)


def delete_left(stores: Stores, generation_id: str) -> list[str]:
    """Delete from the view the users that are not in the graph; return them."""
    view, head = representation_name(generation_id), stores.graph.head()
    left = [
        user_id for page in stores.online.user_ids(view) for user_id in absent(stores.graph, page)
    ]
    if left:
        stores.online.delete(view, left, before=head.commit_time)
    return left


def absent(graph: GraphStore, user_ids: Sequence[str]) -> list[str]:
    """The users that are not in the graph."""
    existing = {profile.user_id for profile in graph.profiles(user_ids)}
    return [user_id for user_id in user_ids if user_id not in existing]
