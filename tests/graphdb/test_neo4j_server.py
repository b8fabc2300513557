"""The graph in Neo4j beside the contract: how it is opened, shared by writers, and looked at."""

import multiprocessing
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from urllib.parse import quote, urlsplit

import pytest

from graphdb import open_graph
from graphdb.errors import (
    FormatRefused,
    GraphUnavailable,
    GraphUnreachable,
)
from graphdb.facts import Batch, FollowColumns
from graphdb.neo4j.address import Address
from graphdb.neo4j.schema import SCHEMA
from graphdb.snapshot.snapshot import take_snapshot
from tests.graphdb.made_facts import (
    batch_of,
    engagement,
    follow,
    label,
    move,
    post,
    post_deletion,
    profile,
    unfollow,
    user_deletion,
)
from tests.graphdb.neo4j_database import TestDatabase
from tests.graphdb.neo4j_writers import apply_all, claim, open_at_once
from tests.graphdb.oracle import GraphOracle
from tests.graphdb.specification import Fact, digest, graph_state

SPAWN = multiprocessing.get_context("spawn")


# ---------------------------------------------------------------- opening


def test_a_url_is_read_with_its_user_info_decoded() -> None:
    address = Address.parse("neo4j+s://an%40n:p%2Fw%3A@host:7688/graph?policy=x")
    assert address.driver_url == "neo4j+s://host:7688?policy=x"
    assert (address.auth, address.database) == (("an@n", "p/w:"), "graph")
    assert Address.parse("bolt://[::1]:7687").driver_url == "bolt://[::1]:7687"
    assert Address.parse("bolt://host").auth is None
    assert Address.parse("bolt://:word@host").auth == ("neo4j", "word")
    assert Address.parse("bolt://host").database == "neo4j"


@pytest.mark.parametrize(
    "url",
    ["neo4j://user:secret@/db", "neo4j://user:secret@host:port/db", "bolt://user:secret@h/a/b"],
)
def test_a_url_that_names_no_database_is_one_line_without_its_secret(url: str) -> None:
    with pytest.raises(GraphUnavailable, match="MMGA_GRAPH_URL") as caught:
        open_graph(url)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_absent_server_is_one_line_and_soon(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        for scheme in ("neo4j", "bolt"):
            start = time.monotonic()
            with pytest.raises(GraphUnreachable, match="does not answer") as caught:
                open_graph(f"{scheme}://user:secret@127.0.0.1:{port}/neo4j")
            assert time.monotonic() - start < 15
            assert "secret" not in str(caught.value) + caplog.text
            assert "\n" not in str(caught.value)


def test_a_wrong_password_is_refused_and_not_shown(database: TestDatabase) -> None:
    parts = urlsplit(database.url)
    url = f"{parts.scheme}://neo4j:{quote('not/it')}@{parts.hostname}:{parts.port}/neo4j"
    refusal = _refusal(url)
    if refusal is None:
        pytest.skip("this server asks for no password")
    assert type(refusal) is GraphUnavailable
    assert "password" in str(refusal)
    assert "not/it" not in str(refusal)


def _refusal(url: str) -> GraphUnavailable | None:
    try:
        open_graph(url).close()
    except GraphUnavailable as error:
        return error
    return None


def test_an_unknown_database_is_named(database: TestDatabase) -> None:
    parts = urlsplit(database.url)
    with pytest.raises(GraphUnavailable, match="'other'"):
        open_graph(parts._replace(path="/other").geturl())


def test_a_reader_creates_nothing(database: TestDatabase) -> None:
    database.empty()
    with pytest.raises(GraphUnavailable, match="mmga ingest"):
        database.open("graph", read_only=True)
    assert database.rows("MATCH (n) RETURN count(n)") == [[0]]


def test_a_reader_cannot_write(database: TestDatabase) -> None:
    writer = database.open()
    reader = database.open(read_only=True)
    for write in (
        lambda: reader.apply(batch_of([profile("ann", 1)])),
        lambda: reader.set_positions([]),
        lambda: reader.erase("ann"),
    ):
        with pytest.raises(GraphUnavailable):
            write()
    assert writer.head().version == 0


def test_a_graph_that_was_emptied_or_made_again_is_replaced(database: TestDatabase) -> None:
    database.open()
    reader = database.open(read_only=True)
    assert not reader.is_replaced()
    database.empty()
    assert reader.is_replaced()
    writer = database.open()
    assert reader.is_replaced()
    assert not writer.is_replaced()


def test_the_data_of_others_are_left_alone(database: TestDatabase) -> None:
    database.empty()
    database.rows("CREATE (:User {user_id: 'theirs'}), (:Meta {id: 0, of: 'others'})")
    with pytest.raises(GraphUnavailable, match="not of this software"):
        open_graph(database.url)
    assert database.rows("MATCH (n) RETURN count(n)") == [[2]]


def test_a_newer_format_is_refused(database: TestDatabase) -> None:
    database.open()
    database.rows("MATCH (m:Meta {id: 0}) SET m.format_version = 99")
    for read_only in (True, False):
        with pytest.raises(FormatRefused, match="99"):
            open_graph(database.url, read_only=read_only)


def test_two_processes_that_create_a_graph_at_once_make_one(database: TestDatabase) -> None:
    database.empty()
    for name in SCHEMA:
        kind = "CONSTRAINT" if "CONSTRAINT" in SCHEMA[name] else "INDEX"
        database.rows(f"DROP {kind} {name} IF EXISTS")
    barrier = SPAWN.Barrier(2)
    _run(*(SPAWN.Process(target=open_at_once, args=(database.url, barrier)) for _ in range(2)))
    assert database.rows("MATCH (m:Meta) RETURN m.id, m.version") == [[0, 0]]
    names = database.rows("SHOW INDEXES YIELD name, state RETURN name, state")
    assert {name for name, state in names if state == "ONLINE"} >= set(SCHEMA)


# ---------------------------------------------------------------- what is in it


def test_anyones_cypher_counts_live_follows(database: TestDatabase) -> None:
    store = database.open()
    facts: list[Fact] = [
        follow("ann", "bob", 1),
        follow("bob", "ann", 1),
        follow("ann", "eve", 1),
        unfollow("ann", "eve", 2),
        unfollow("x", "y", 2),
        unfollow("bob", "eve", 3),
        follow("bob", "eve", 4),
        follow("gone", "ann", 4),
        user_deletion("gone", 5),
    ]
    store.apply(batch_of(facts))
    live = "MATCH (a:User)-[f:FOLLOWS]->(b:User) RETURN a.user_id, b.user_id, f.since"
    assert sorted(database.rows(live)) == [["ann", "bob", 1], ["bob", "ann", 1], ["bob", "eve", 4]]
    assert database.rows("MATCH ()-[f:FOLLOWS]->() RETURN count(f)") == [[3]]
    both = "MATCH (a)-[:FOLLOWS]->(b) WHERE EXISTS { (a)-[:UNFOLLOWED]->(b) } RETURN count(*)"
    assert database.rows(both) == [[0]]
    assert database.rows("MATCH (u:User) RETURN count(u)") == [[3]]


def test_a_follow_holds_its_fold(database: TestDatabase) -> None:
    from graphdb.folds import fold

    store = database.open()
    store.apply(batch_of([follow("ann", "bob", 1), follow("é", "ann", 1)]))
    rows = database.rows("MATCH (a)-[f:FOLLOWS]->(b) RETURN a.user_id, b.user_id, f.fold")
    assert sorted(rows) == [["ann", "bob", fold("ann", "bob")], ["é", "ann", fold("é", "ann")]]


def test_nothing_in_the_database_names_an_erased_user(database: TestDatabase) -> None:
    """Only the feed does, until it is trimmed; tombstones hold keyed hashes."""
    store = database.open()
    facts: list[Fact] = [
        profile("secret", 3),
        follow("secret", "bob", 3),
        unfollow("bob", "secret", 3),
        post("secret post", "secret", 3, hashtags=["secret tag", "shared"]),
        engagement("secret post", 4, likes=1, comments=1),
        post("p", "bob", 3, mentions=["secret"], hashtags=["shared"]),
        label("user", "secret", 3, "a"),
        label("post", "secret post", 3, "a"),
        label("user", "secret", 3, task="mood"),
    ]
    store.apply(batch_of(facts))
    store.erase("secret")
    store.apply(batch_of(facts))
    store.trim_changes(older_than=0, max_rows=0)
    nodes = str(database.rows("MATCH (n) RETURN labels(n), properties(n)"))
    relationships = str(database.rows("MATCH ()-[r]->() RETURN type(r), properties(r)"))
    assert "bob" in nodes
    assert "shared" in nodes
    assert "secret" not in nodes + relationships
    assert database.rows("MATCH (n:StubUser) RETURN count(n)") == [[0]]


def test_a_batch_that_fails_in_the_midst_leaves_nothing_behind(database: TestDatabase) -> None:
    """Neither in the database nor in what the writer remembers of it."""
    store = database.open()
    store.apply(batch_of([profile("ann", 1), post("q", "zoe", 1, mentions=["stub"])]))
    before = (store.head(), store.digest())
    facts: list[Fact] = [
        follow("bob", "ann", 2),
        profile("stub", 2),
        user_deletion("ann", 1),
        post_deletion("q", 5),
    ]
    with pytest.raises(OverflowError):
        store.apply(batch_of([*facts, post("p", "eve", 2, like_count=2**70)], [move(None, 9)]))
    assert (store.head(), store.digest(), store.positions()) == (*before, [])
    said: list[Fact] = [follow("bob", "eve", 3), post("q", "zoe", 4), profile("ann", 1)]
    store.apply(batch_of([*said, follow("stub", "eve", 3)]))
    assert store.user_ids() == ["ann", "bob", "eve", "stub", "zoe"]
    assert store.neighbours("eve", "followers") == ["bob", "stub"]


def test_many_follows_are_exported_in_pages(database: TestDatabase) -> None:
    random = Random(3)
    users = [f"user {number}" for number in range(12_000)]
    pairs = {tuple(random.sample(users, 2)) for _ in range(15_000)}
    pairs.update(zip(users, [*users[1:], users[0]], strict=True))
    store = database.open()
    rows = sorted(pairs)
    for part in (rows[:10_000], rows[10_000:]):
        followers, followees = map(list, zip(*part, strict=True))
        columns = FollowColumns(
            follower_ids=followers,
            followee_ids=followees,
            times=list(range(len(part))),
            ties=[0] * len(part),
            live=[True] * len(part),
        )
        assert store.apply(Batch(follows=columns)).num_applied == len(part)
    exported = store.follows()
    ends = zip(exported.followers.tolist(), exported.followees.tolist(), strict=True)
    assert exported.user_ids == sorted(users)
    assert [(exported.user_ids[a], exported.user_ids[b]) for a, b in ends] == rows
    assert store.counts().follows == len(rows)


def test_a_snapshot_of_it_is_that_of_the_oracle(database: TestDatabase, tmp_path: Path) -> None:
    said: list[Fact] = [
        *(fact for share in _shares(1) for batch in share for fact in batch),
        *(profile(f"user {number}", 60, follower_count=number) for number in range(0, 30, 3)),
        *(label("user", f"user {number}", 60, "sun") for number in range(0, 30, 7)),
    ]
    files: list[dict[str, bytes]] = []
    for store in (database.open(), GraphOracle()):
        store.apply(batch_of(said))
        snapshot = take_snapshot(store, tmp_path)
        files.append({path.name: path.read_bytes() for path in snapshot.path.iterdir()})
    ours, theirs = files
    assert ours.keys() == theirs.keys()
    differing = {name for name in ours if ours[name] != theirs[name]}
    assert differing == {"manifest.json"}, "it tells the graph and its commit time"


def test_a_graph_that_was_replaced_is_not_written(database: TestDatabase) -> None:
    store = database.open()
    store.apply(batch_of([follow("ann", "bob", 1)]))
    for replace in (lambda: None, lambda: open_graph(database.url).close()):
        database.empty()
        replace()
        with pytest.raises(GraphUnavailable, match="start again"):
            store.apply(batch_of([follow("bob", "ann", 1)]))
    assert database.rows("MATCH (u:User) RETURN count(u)") == [[0]]


def test_the_examples_of_the_document_run(database: TestDatabase) -> None:
    store = database.open()
    facts: list[Fact] = [
        follow("ann", "bob", 1),
        follow("bob", "eve", 1),
        post("p", "bob", 2, hashtags=["sun"]),
    ]
    store.apply(batch_of(facts, [move(None, 3)]))
    text = (Path(__file__).parents[2] / "docs" / "neo4j.md").read_text(encoding="utf-8")
    queries = re.findall(r"```cypher\n(.*?)```", text, re.DOTALL)
    assert len(queries) >= 3
    for query in queries:
        assert database.rows(query), query


# ---------------------------------------------------------------- several writers


def _run(*processes: multiprocessing.context.SpawnProcess) -> None:
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0


def _shares(num_writers: int) -> Iterator[list[list[Fact]]]:
    random = Random(5)
    users = [f"user {number}" for number in range(30)]
    said: list[Fact] = [
        follow(*random.sample(users, 2), random.randrange(50), live=random.random() < 0.7)
        for _ in range(600)
    ]
    said += [user_deletion(random.choice(users), random.randrange(50)) for _ in range(20)]
    said += [
        post(f"p{number % 40}", users[number % 40 % 30], random.randrange(50), mentions=users[:2])
        for number in range(80)
    ]
    random.shuffle(said)
    batches = [said[start : start + 20] for start in range(0, len(said), 20)]
    for writer in range(num_writers):
        yield batches[writer::num_writers]


@pytest.mark.parametrize("num_writers", [2, 4])
def test_several_writers_lose_nothing_and_never_fail(
    database: TestDatabase, num_writers: int
) -> None:
    store = database.open()
    shares = list(_shares(num_writers))
    barrier = SPAWN.Barrier(num_writers)
    _run(*(SPAWN.Process(target=apply_all, args=(database.url, own, barrier)) for own in shares))
    batches = [batch for own in shares for batch in own]
    assert store.head().version == len(batches)
    assert store.digest() == digest(graph_state(fact for batch in batches for fact in batch))
    changes = list(store.changes(0))
    assert [change.version for change in changes] == list(range(1, len(batches) + 1))
    times = [change.commit_time for change in changes]
    assert times == sorted(set(times))


def test_of_two_writers_that_expect_one_position_one_wins(database: TestDatabase) -> None:
    barrier = SPAWN.Barrier(2)
    store = database.open()
    store.apply(batch_of([], [move(None, 0)]))
    _run(*(SPAWN.Process(target=claim, args=(database.url, barrier, name)) for name in "ab"))
    assert [position.offset for position in store.positions()] == [20]
    assert store.head().version == 21
    winners = [user_id.split()[1] for user_id in store.user_ids()]
    assert sorted(winners, key=int) == [str(offset) for offset in range(20)]


# ---------------------------------------------------------------- real data


@pytest.mark.real_data
@pytest.mark.slow
def test_real_data_have_the_digest_that_they_have_in_the_embedded_graph(
    database: TestDatabase, congress_events: Path, tmp_path: Path
) -> None:
    """The commands differ by the graph's URL and nothing else."""
    database.empty()
    digests = {
        _ingested(congress_events, {"MMGA_HOME": str(tmp_path / home), **graph})
        for home, graph in (("server", {"MMGA_GRAPH_URL": database.url}), ("embedded", {}))
    }
    assert len(digests) == 1
    assert digests != {"0" * 32}


def _ingested(events: Path, environ: dict[str, str]) -> str:
    """The digest that `mmga digest` prints after `mmga ingest`."""
    environ = {**os.environ, **environ}
    for arguments in (["ingest", "--events", str(events)], ["digest"]):
        done = subprocess.run(
            [sys.executable, "-m", "mmga", *arguments],
            env=environ,
            capture_output=True,
            text=True,
            timeout=200,
        )
        assert done.returncode == 0, done.stderr
    return done.stdout.strip()
