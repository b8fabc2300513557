"""Follows: many a second, so in columns from the batch to the server, which applies the rule."""

from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphdb.facts import FollowColumns
from graphdb.folds import fold
from graphdb.neo4j import statements
from graphdb.neo4j.write import Write
from graphdb.rules.follow_rows import FollowRows, newest, pair_of
from graphdb.rules.stamps import stamps
from graphdb.rules.void_follows import ends_that_exist, without_void


def apply_follows(write: Write, columns: FollowColumns) -> None:
    """Merge a batch's follows and unfollows into the graph."""
    if not len(columns):
        return
    users = write.users
    user_ids = set(chain(columns.follower_ids, columns.followee_ids))
    users.load(user_ids)
    if not users.none_deleted(user_ids):
        columns, evidence = without_void(columns, users.deleted_at)
        users.admit(existing=evidence.keys())
        users.witness(evidence)
        user_ids = set(chain(columns.follower_ids, columns.followee_ids))
        if not len(columns):
            return
    all_live = all(columns.live)
    existing = user_ids if all_live else ends_that_exist(columns)
    users.admit(existing=existing, mentioned=user_ids)
    rows, winners = _newest(columns, user_ids)
    if all_live:
        _write_live(write, columns, winners)
        return
    _write_live(write, columns, winners[rows.live])
    _write_unfollows(write, columns, winners[~rows.live], rows.created[~rows.live])


def _newest(columns: FollowColumns, user_ids: set[str]) -> tuple[FollowRows, NDArray[np.int64]]:
    """One row a pair, and the index of the fact that won it."""
    number = {user_id: key for key, user_id in enumerate(user_ids)}.__getitem__
    followers = np.array(list(map(number, columns.follower_ids)), dtype=np.int64)
    followees = np.array(list(map(number, columns.followee_ids)), dtype=np.int64)
    return newest(
        pair_of(followers, followees),
        stamps(columns.times, columns.live),
        np.array(columns.ties, dtype=np.int64),
    )


def _write_live(write: Write, columns: FollowColumns, chosen: NDArray[np.int64]) -> None:
    if not len(chosen):
        return
    rows = _columns(columns, chosen)
    folds = list(map(fold, rows["followers"], rows["followees"]))
    won = write.tx.ask(statements.WRITE_FOLLOWS[write.have_unfollowed], **rows, folds=folds)
    _report(write, columns, chosen, won)


def _write_unfollows(
    write: Write,
    columns: FollowColumns,
    chosen: NDArray[np.int64],
    created: NDArray[np.int64],
) -> None:
    """The ends of an unfollow may be stubs: one statement for each kind of ends."""
    kinds: dict[tuple[str, str], list[int]] = {}
    for row, i in enumerate(chosen.tolist()):
        ends = (columns.follower_ids[i], columns.followee_ids[i])
        follower, followee = (statements.ENDS[not write.users.exists(end)] for end in ends)
        kinds.setdefault((follower, followee), []).append(row)
    for kind, members in kinds.items():
        part = chosen[members]
        won = write.tx.ask(
            statements.WRITE_UNFOLLOWS[kind],
            **_columns(columns, part),
            created=created[members].tolist(),
        )
        _report(write, columns, part, won)


def _columns(columns: FollowColumns, chosen: NDArray[np.int64]) -> dict[str, list[Any]]:
    rows = chosen.tolist()
    return {
        "followers": [columns.follower_ids[i] for i in rows],
        "followees": [columns.followee_ids[i] for i in rows],
        "times": [columns.times[i] for i in rows],
        "ties": [columns.ties[i] for i in rows],
    }


def _report(
    write: Write, columns: FollowColumns, chosen: NDArray[np.int64], won: list[int]
) -> None:
    rows = chosen[won].tolist()
    write.num_applied += len(rows)
    write.draft.add_follows(
        [columns.follower_ids[i] for i in rows],
        [columns.followee_ids[i] for i in rows],
        [columns.live[i] for i in rows],
    )
