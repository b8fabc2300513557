"""Exports the graph for a snapshot: reads all of it once, in pages, into the files of a folder."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from graphdb.adjacency import Adjacency, graph_of_follows
from graphdb.facts import HUMAN
from graphdb.folds import folds_of_pairs
from graphdb.snapshot.files import write_array, write_json
from graphdb.snapshot.id_column import IdColumn, id_keys
from graphdb.statistics import STATISTICS, user_statistics
from graphdb.store import GraphStore, Post, Profile

Progress = Callable[[int, int], None]
"""Called with the number of users exported so far and of all users."""

_PAGE_OF_USERS = 1_000


def export_graph(
    store: GraphStore, folder: Path, *, progress: Progress | None = None
) -> dict[str, object]:
    """Write the graph as it is now into an empty folder; return the metadata of its manifest."""
    # Follows are read before users; an edge is kept only if both of its users exist then.
    user_ids, num_follows = _export_follows(store, folder)
    users = _read_users(store, user_ids, progress)
    _export_users(folder, users, user_ids)
    write_json(folder, "labels", _labels(store, user_ids))
    return {
        "statistics": STATISTICS,
        "num_users": len(user_ids),
        "num_follows": num_follows,
        "num_posts": len(users.post_ids),
    }


def _export_follows(store: GraphStore, folder: Path) -> tuple[list[str], int]:
    follows = store.follows()
    user_ids = follows.user_ids
    keys = id_keys(user_ids)
    order = np.argsort(keys)
    folds = folds_of_pairs(user_ids, follows.followers, follows.followees)
    graph = graph_of_follows(len(user_ids), follows.followers, follows.followees, folds, keys)
    _write_ids(folder, "user_ids", IdColumn.of(user_ids))
    write_array(folder, "user_keys", keys)
    write_array(folder, "user_sorted_keys", keys[order])
    write_array(folder, "user_key_order", order.astype(np.int32))
    _write_adjacency(folder, "followees", graph.followees)
    _write_adjacency(folder, "followers", graph.followers)
    _write_adjacency(folder, "mutual", graph.mutual)
    return user_ids, len(folds)


def _write_ids(folder: Path, name: str, ids: IdColumn) -> None:
    write_array(folder, name, ids.text)
    write_array(folder, f"{name}_offsets", ids.offsets)


def _write_adjacency(folder: Path, name: str, adjacency: Adjacency) -> None:
    write_array(folder, f"{name}_indptr", adjacency.indptr)
    write_array(folder, f"{name}_indices", adjacency.indices)
    write_array(folder, f"{name}_folds", adjacency.folds)
    if adjacency.reverse_folds is not None:
        write_array(folder, f"{name}_reverse_folds", adjacency.reverse_folds)


@dataclass(slots=True, kw_only=True)
class _Users:
    """Data of users, collected page by page, in the order of their ids."""

    statistics: list[NDArray[np.float32]] = field(default_factory=list)
    num_posts: list[int] = field(default_factory=list)
    post_ids: list[str] = field(default_factory=list)
    mentions: list[tuple[int, int]] = field(default_factory=list)


def _read_users(store: GraphStore, user_ids: Sequence[str], progress: Progress | None) -> _Users:
    users = _Users()
    index = {user_id: position for position, user_id in enumerate(user_ids)}
    for start in range(0, len(user_ids), _PAGE_OF_USERS):
        page = user_ids[start : start + _PAGE_OF_USERS]
        posts = store.posts_of(page)
        _add_page(users, _profiles(store, page), posts, index)
        if progress is not None:
            progress(start + len(page), len(user_ids))
    return users


def _profiles(store: GraphStore, page: Sequence[str]) -> list[Profile]:
    """One profile for each user; an empty one for users deleted since follows were read."""
    found = {profile.user_id: profile for profile in store.profiles(page)}
    return [found.get(user_id) or _blank_profile(user_id) for user_id in page]


def _blank_profile(user_id: str) -> Profile:
    return Profile(
        user_id=user_id,
        time=None,
        username=None,
        full_name=None,
        biography=None,
        follower_count=None,
        following_count=None,
        post_count=None,
        is_verified=None,
        created_at=None,
    )


def _add_page(
    users: _Users, profiles: Sequence[Profile], posts: Sequence[Post], index: dict[str, int]
) -> None:
    users.statistics.append(user_statistics(profiles, posts))
    counts = {profile.user_id: 0 for profile in profiles}
    for post in posts:
        counts[post.user_id] += 1
        author = index[post.user_id]
        users.mentions.extend(
            (author, index[mentioned]) for mentioned in post.mentions if mentioned in index
        )
    users.num_posts.extend(counts.values())
    users.post_ids.extend(post.post_id for post in posts)


def _export_users(folder: Path, users: _Users, user_ids: Sequence[str]) -> None:
    empty = np.empty((0, len(STATISTICS)), dtype=np.float32)
    write_array(folder, "statistics", np.concatenate([empty, *users.statistics]))
    post_indptr = np.concatenate(([0], np.cumsum(users.num_posts, dtype=np.int64)))
    write_array(folder, "post_indptr", post_indptr.astype(np.int64))
    _write_ids(folder, "post_ids", IdColumn.of(users.post_ids))
    mentions = np.array(users.mentions, dtype=np.int64).reshape(-1, 2)
    keys = np.unique(mentions[:, 0] * len(user_ids) + mentions[:, 1])
    pairs = np.stack(np.divmod(keys, max(len(user_ids), 1)), axis=1)
    write_array(folder, "mentions", pairs.astype(np.int32))


def _labels(store: GraphStore, user_ids: Sequence[str]) -> dict[str, dict[str, list[object]]]:
    """Human labels of users by task, as columns in the order of the user ids."""
    index = {user_id: position for position, user_id in enumerate(user_ids)}
    tasks: dict[str, dict[str, list[object]]] = {}
    for label in store.labels("user"):
        if label.annotator == HUMAN and label.subject_id in index:
            columns = tasks.setdefault(label.task, {"users": [], "labels": []})
            columns["users"].append(index[label.subject_id])
            columns["labels"].append(label.labels)
    return tasks
