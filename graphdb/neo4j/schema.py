"""Labels, relationships, constraints and indexes of the graph in Neo4j, made where absent.

    (:User {user_id})-[:FOLLOWS {since, tie, fold}]->(:User)      a live follow, always
    (:User)-[:UNFOLLOWED {time, tie, created}]->(:User)           a follow that ended; never both
    (:User)-[:POSTED]->(:Post {post_id})                          its one author
    (:Post)-[:TAGGED]->(:Hashtag {name})
    (:Post)-[:MENTIONS]->(:User)
    (:User|Post)-[:LABELED {annotator, labels, time, tie}]->(:Task {name})
    (:User|Post)-[:UNLABELED {annotator, time, tie}]->(:Task)     what an annotator withdrew

`StubUser` and `StubPost` stand in place of `User` and `Post` for what is only mentioned, labelled,
counted or unfollowed; their first event swaps the label. `UserTombstone` and `PostTombstone`
remember the deleted by a keyed hash. `(:Meta {id: 0})` holds the version: every write transaction
advances it first, and so takes its turn. `Change` holds the keys that one version changed,
`Position` how far a partition of a stream has been applied.

`time`, `tie` of a node are those of the `user.updated` or `post.created` that it shows;
`evidence` is the newest proof of a user's existence that nothing else holds.
"""

import os
import uuid
from typing import Any

from neo4j.exceptions import ClientError

from foundation.format_version import GRAPH
from graphdb.errors import FormatRefused, GraphUnavailable
from graphdb.neo4j.connection import Database, Transaction

_ALREADY_THERE = (
    "Neo.ClientError.Schema.EquivalentSchemaRuleAlreadyExists",
    "Neo.ClientError.Schema.ConstraintAlreadyExists",
    "Neo.ClientError.Schema.IndexAlreadyExists",
)

_UNIQUE = {
    "meta_id": ("Meta", "id"),
    "user_id": ("User", "user_id"),
    "stub_user_id": ("StubUser", "user_id"),
    "post_id": ("Post", "post_id"),
    "stub_post_id": ("StubPost", "post_id"),
    "hashtag_name": ("Hashtag", "name"),
    "task_name": ("Task", "name"),
    "user_tombstone_hash": ("UserTombstone", "user_hash"),
    "post_tombstone_hash": ("PostTombstone", "post_hash"),
    "change_version": ("Change", "version"),
    "position_key": ("Position", "key"),
}
_INDEXED = {
    "stub_post_author": ("StubPost", "author_hash"),
    "post_tombstone_author": ("PostTombstone", "author_hash"),
}
SCHEMA = {
    **{
        f"mmga_{name}": f"CREATE CONSTRAINT mmga_{name} IF NOT EXISTS "
        f"FOR (n:{label}) REQUIRE n.{key} IS UNIQUE"
        for name, (label, key) in _UNIQUE.items()
    },
    **{
        f"mmga_{name}": f"CREATE INDEX mmga_{name} IF NOT EXISTS FOR (n:{label}) ON (n.{key})"
        for name, (label, key) in _INDEXED.items()
    },
}

COUNT_NODES = "MATCH (n) RETURN count(n)"
SELECT_INDEX_NAMES = "SHOW INDEXES YIELD name RETURN collect(name)"
AWAIT_INDEXES = "CALL db.awaitIndexes(300)"
SELECT_META = """
MATCH (m:Meta {id: 0}) WHERE m.graph_id IS NOT NULL
RETURN m.format_version, m.graph_id, m.tombstone_key"""
SET_FORMAT = "MATCH (m:Meta {id: 0}) SET m.format_version = $version"
MERGE_META = """
MERGE (m:Meta {id: 0})
ON CREATE SET m.format_version = $format_version, m.graph_id = $graph_id,
    m.tombstone_key = $tombstone_key, m.version = 0, m.commit_time = 0, m.buried_at = 0"""


def create_where_absent(database: Database) -> None:
    """Make constraints, indexes and the one Meta node; harmless to repeat, also at once.

    Raises GraphUnavailable for a database that holds nodes and no graph of ours: what others keep
    in it could not be distinguished from ours. A graph of another format is left as it is.
    """
    found = database.read(_find_meta)
    if found is not None and found[0] != GRAPH.version:
        return
    if found is None:
        num_nodes = database.read(lambda tx: tx.ask(COUNT_NODES))
        # Another process may have created the graph in between.
        if num_nodes and database.read(_find_meta) is None:
            raise GraphUnavailable(
                f"{database.address} holds {num_nodes} nodes that are not of this software; "
                "name an empty database in MMGA_GRAPH_URL, or empty this one"
            )
    present = set(database.read(lambda tx: tx.ask(SELECT_INDEX_NAMES)))
    for name, statement in SCHEMA.items():
        if name not in present:
            _create(database, statement)
    database.read(lambda tx: tx.do(AWAIT_INDEXES))
    database.write(_merge_meta, repeatable=True)


def _create(database: Database, statement: str) -> None:
    """Of two processes that create one constraint at once, one may get the error that it exists."""
    try:
        database.change_schema(statement)
    except ClientError as error:
        if error.code not in _ALREADY_THERE:
            raise


def _merge_meta(tx: Transaction) -> None:
    tx.do(
        MERGE_META,
        format_version=GRAPH.version,
        graph_id=uuid.uuid4().hex,
        tombstone_key=os.urandom(32),
    )


def identity(database: Database) -> tuple[str, bytes]:
    """Graph id and tombstone key, of a graph of the current format. Raises FormatRefused."""
    format_version, graph_id, key = _read_meta(database)
    if refusal := GRAPH.refusal(database.address, format_version):
        raise FormatRefused(refusal)
    return str(graph_id), bytes(key)


def read_format(database: Database) -> int:
    """The version of the graph's format."""
    return int(_read_meta(database)[0])


def write_format(tx: Transaction, version: int) -> None:
    """Set the version of the graph's format."""
    tx.do(SET_FORMAT, version=version)


def _read_meta(database: Database) -> list[Any]:
    found = database.read(_find_meta)
    if found is None:
        raise GraphUnavailable(f"there is no graph at {database.address}; run `mmga ingest` first")
    return found


def _find_meta(tx: Transaction) -> list[Any] | None:
    return tx.find(SELECT_META)
