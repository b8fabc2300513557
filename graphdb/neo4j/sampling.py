"""Neighbours at random, degrees and follows among users, one query for a hop of a batch."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphdb.neo4j.connection import Database, Transaction
from graphdb.sampling.one_hop import ALL
from graphdb.store import Relation

PRIME = 2**31 - 1
NUM_KEYS = 2
USERS_A_READ = 2_000
_NO_LIMIT = 2**31 - 1

# A neighbour's rank in the row's random order is a hash of its follow's tie and a number drawn for
# the row, so that draws repeat: polynomials over the field of 2^31 - 1, whose products fit into 64
# bits. Equal ties, and mentions, which have none, are put in an order that does not repeat.
_HASH = """reduce(h = (abs(f.tie % 2147483647) + salt) % 2147483647, k IN $keys
        | h * (h + k) % 2147483647)"""
_FOLLOWS_OF = {
    "followees": "(u)-[f:FOLLOWS]->(v:User) WHERE NOT f.fold IN $folds",
    "followers": "(u)<-[f:FOLLOWS]-(v:User) WHERE NOT f.fold IN $folds",
    "mutual": """(u)-[f:FOLLOWS]->(v:User) WHERE NOT f.fold IN $folds
        AND EXISTS { (v)-[back:FOLLOWS]->(u) WHERE NOT back.fold IN $folds }""",
    "either": "(u)-[f:FOLLOWS]-(v:User) WHERE NOT f.fold IN $folds",
}
_MENTIONS_OF = {
    "mentions": "(u)-[:POSTED]->(:Post)-[:MENTIONS]->(v:User) WHERE v <> u",
    "mentioned_by": "(u)<-[:MENTIONS]-(:Post)<-[:POSTED]-(v:User) WHERE v <> u",
}
_DRAW = {
    relation: f"MATCH {pattern} WITH v, {_HASH} AS rank"
    for relation, pattern in _FOLLOWS_OF.items()
} | {
    relation: f"MATCH {pattern} WITH DISTINCT v WITH v, 0 AS rank"
    for relation, pattern in _MENTIONS_OF.items()
}
SAMPLE = {
    relation: f"""
UNWIND range(0, size($ids) - 1) AS i
MATCH (u:User {{user_id: $ids[i]}})
WITH i, u, $salts[i] AS salt
RETURN collect([i, COLLECT {{
    {draw}
    ORDER BY rank, rand() LIMIT $fan_out
    RETURN v.user_id }}])"""
    for relation, draw in _DRAW.items()
}
COUNT_NEIGHBOURS = {
    relation: f"""
UNWIND range(0, size($ids) - 1) AS i
MATCH (u:User {{user_id: $ids[i]}})
RETURN collect([i, COUNT {{ {counted} }}])"""
    for relation, counted in (
        {relation: f"MATCH {pattern}" for relation, pattern in _FOLLOWS_OF.items()}
        | {
            relation: f"MATCH {pattern} RETURN DISTINCT v"
            for relation, pattern in _MENTIONS_OF.items()
        }
    ).items()
}
# The positions of the followees are looked up in a map: the server must not begin at them.
SELECT_FOLLOWS_AMONG = """
UNWIND range(0, size($followers) - 1) AS i
MATCH (:User {user_id: $followers[i]})-[:FOLLOWS]->(v:User)
WITH i, $positions[v.user_id] AS j WHERE j IS NOT NULL
RETURN collect(i), collect(j)"""


def read_sample(
    database: Database,
    user_ids: Sequence[str],
    relation: Relation,
    fan_out: int,
    *,
    without_folds: Collection[int],
    seed: int,
) -> list[list[str]]:
    """Up to `fan_out` neighbours of each user, uniform without replacement."""
    rng = np.random.default_rng(seed)
    keys = rng.integers(1, PRIME, NUM_KEYS).tolist()
    salts = rng.integers(0, PRIME, len(user_ids)).tolist()
    neighbours: list[list[str]] = [[] for _ in user_ids]
    for part in _parts(len(user_ids)):
        for position, found in _ask(
            database,
            SAMPLE[relation],
            ids=list(user_ids[part]),
            salts=salts[part],
            keys=keys,
            folds=sorted(without_folds),
            fan_out=_NO_LIMIT if fan_out == ALL else fan_out,
        ):
            neighbours[part.start + position] = found
    return neighbours


def read_degrees(
    database: Database,
    user_ids: Sequence[str],
    relation: Relation,
    *,
    without_folds: Collection[int],
) -> NDArray[np.int64]:
    """Number of neighbours of each user."""
    degrees = np.zeros(len(user_ids), dtype=np.int64)
    for part in _parts(len(user_ids)):
        rows = _ask(
            database,
            COUNT_NEIGHBOURS[relation],
            ids=list(user_ids[part]),
            folds=sorted(without_folds),
        )
        positions, counts = np.array(rows, dtype=np.int64).reshape(-1, 2).T
        degrees[part.start + positions] = counts
    return degrees


def read_follows_among(
    database: Database, follower_ids: Sequence[str], followee_ids: Sequence[str]
) -> NDArray[np.int64]:
    """(position of the follower, position of the followee) of each live follow, (F, 2)."""
    positions = {user_id: position for position, user_id in enumerate(followee_ids)}
    pairs = [np.empty((0, 2), dtype=np.int64)]
    for part in _parts(len(follower_ids)):
        rows, columns = _ask(
            database,
            SELECT_FOLLOWS_AMONG,
            followers=list(follower_ids[part]),
            positions=positions,
        )
        found = np.array([rows, columns], dtype=np.int64).T
        found[:, 0] += part.start
        pairs.append(found)
    return np.concatenate(pairs)


def _parts(count: int) -> Iterator[slice]:
    for start in range(0, count, USERS_A_READ):
        yield slice(start, min(start + USERS_A_READ, count))


def _ask(database: Database, statement: str, **parameters: Any) -> Any:
    def unit(tx: Transaction) -> Any:
        return tx.ask(statement, **parameters)

    return database.read(unit)
