"""A frozen copy of the graph, complete up to a version: immutable, checksummed, memory-mapped.

A snapshot is a folder `ROOT/GRAPH_ID/VERSION`, always a full export. Any number of processes read
it at once and share its pages.

Shapes: N users, E edges, M mention pairs, P posts, B users asked for.
"""

import logging
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from foundation.durable_files import whole_folder
from graphdb.adjacency import Adjacency, SnapshotGraph
from graphdb.errors import GraphUnavailable
from graphdb.snapshot.export import Progress, export_graph
from graphdb.snapshot.files import read_array, read_json, read_manifest, seal
from graphdb.snapshot.id_column import IdColumn, IdIndex
from graphdb.store import GraphStore, Head

logger = logging.getLogger(__name__)


class UserLabels(NamedTuple):
    """Human labels of users in one task: `labels[i]` are those of `users[i]`, ascending."""

    users: NDArray[np.int64]
    labels: Sequence[tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Snapshot:
    """The graph as it was at `version`; a user is an index, 0 to N - 1, in order of its id.

    The posts of user i are `post_ids[post_indptr[i]:post_indptr[i + 1]]`, newest first. `mentions`
    are the distinct pairs (author, mentioned user). `labels` are those of human annotators.
    """

    path: Path
    graph_id: str
    version: int
    commit_time: int
    graph: SnapshotGraph
    user_ids: IdColumn
    user_index: IdIndex
    user_keys: NDArray[np.uint64]  # (N,)
    statistics: NDArray[np.float32]  # (N, 16)
    mentions: NDArray[np.int32]  # (M, 2)
    post_ids: IdColumn
    post_indptr: NDArray[np.int64]  # (N + 1,)
    labels: Mapping[str, UserLabels]

    @property
    def num_users(self) -> int:
        """Number of users N."""
        return len(self.user_ids)

    @property
    def num_posts(self) -> int:
        """Number of posts P."""
        return len(self.post_ids)

    @property
    def followees(self) -> Adjacency:
        """Followees: row u holds the users that u follows."""
        return self.graph.followees

    @property
    def followers(self) -> Adjacency:
        """Followers: row u holds the users who follow u."""
        return self.graph.followers

    @property
    def mutual(self) -> Adjacency:
        """Mutual follows: row u holds the users who follow u and whom u follows."""
        return self.graph.mutual

    def index_of(self, user_ids: Sequence[str]) -> NDArray[np.int64]:
        """The indices (B,) of users; -1 for an id that is not in the snapshot."""
        return self.user_index.find(user_ids)

    def without_folds(self, folds: Collection[int]) -> SnapshotGraph:
        """Without the follows of these folds; a mutual edge is kept if both follows are."""
        return self.graph.without_folds(folds)

    def __reduce__(self) -> tuple[Any, ...]:
        # A worker process maps the same files instead of receiving a copy.
        return _reopen, (self.path,)


def take_snapshot(store: GraphStore, root: Path, *, progress: Progress | None = None) -> Snapshot:
    """Export the graph to `root/GRAPH_ID/VERSION`, or open that snapshot where it exists.

    `progress` is called with the number of users exported so far and of all users. One process
    exports at a time; others wait and use its snapshot. The folder is written atomically. Raises
    GraphUnavailable when it cannot be written.
    """
    folder = root / store.graph_id
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock", poll_interval=0.05):
            head = store.head()
            target = folder / str(head.version)
            if not target.exists():
                _export(store, head, target, progress)
    except OSError as error:
        reason = error.strerror or error
        raise GraphUnavailable(
            f"cannot write a snapshot below {folder}: {reason}; check permissions and free space"
        ) from error
    return open_snapshot(target)


def _export(store: GraphStore, head: Head, target: Path, progress: Progress | None) -> None:
    started = time.perf_counter()
    with whole_folder(target) as partial:
        metadata = export_graph(store, partial, progress=progress)
        identity = {"graph_id": store.graph_id, "version": head.version}
        seal(partial, identity | {"commit_time": head.commit_time} | metadata)
    logger.info(
        "snapshot of version %d: %d users, %d follows, %d posts in %.1f s",
        head.version,
        metadata["num_users"],
        metadata["num_follows"],
        metadata["num_posts"],
        time.perf_counter() - started,
    )


def open_snapshot(path: Path, *, verify: bool = True) -> Snapshot:
    """Map the snapshot in a folder; lengths are always compared, checksums with `verify`.

    Raises SnapshotMissing, SnapshotCorrupt or FormatRefused.
    """
    manifest = read_manifest(path, verify=verify)
    user_keys = read_array(path, "user_keys")
    user_ids = _read_ids(path, "user_ids")
    sorted_keys, order = read_array(path, "user_sorted_keys"), read_array(path, "user_key_order")
    return Snapshot(
        path=path,
        graph_id=manifest["graph_id"],
        version=manifest["version"],
        commit_time=manifest["commit_time"],
        graph=SnapshotGraph(
            followees=_read_adjacency(path, "followees", user_keys),
            followers=_read_adjacency(path, "followers", user_keys),
            mutual=_read_adjacency(path, "mutual", user_keys),
        ),
        user_ids=user_ids,
        user_index=IdIndex(user_ids, sorted_keys, order),
        user_keys=user_keys,
        statistics=read_array(path, "statistics"),
        mentions=read_array(path, "mentions"),
        post_ids=_read_ids(path, "post_ids"),
        post_indptr=read_array(path, "post_indptr"),
        labels=_read_labels(path),
    )


def newest_snapshot(root: Path, graph_id: str, *, verify: bool = True) -> Snapshot | None:
    """The snapshot of the greatest version of this graph, None where there is none."""
    folder = root / graph_id
    if not folder.is_dir():
        return None
    versions = [int(each.name) for each in folder.iterdir() if each.name.isdecimal()]
    return open_snapshot(folder / str(max(versions)), verify=verify) if versions else None


def _reopen(path: Path) -> Snapshot:
    return open_snapshot(path, verify=False)


def _read_ids(path: Path, name: str) -> IdColumn:
    return IdColumn(read_array(path, name), read_array(path, f"{name}_offsets"))


def _read_adjacency(path: Path, name: str, user_keys: NDArray[np.uint64]) -> Adjacency:
    return Adjacency(
        indptr=read_array(path, f"{name}_indptr"),
        indices=read_array(path, f"{name}_indices"),
        folds=read_array(path, f"{name}_folds"),
        user_keys=user_keys,
        reverse_folds=read_array(path, f"{name}_reverse_folds") if name == "mutual" else None,
    )


def _read_labels(path: Path) -> dict[str, UserLabels]:
    return {
        task: UserLabels(
            users=np.array(columns["users"], dtype=np.int64),
            labels=[tuple(labels) for labels in columns["labels"]],
        )
        for task, columns in read_json(path, "labels").items()
    }
