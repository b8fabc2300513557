import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphdb.adjacency import Adjacency, SnapshotGraph, graph_of_follows
from graphdb.errors import FormatRefused, GraphUnavailable, SnapshotCorrupt, SnapshotMissing
from graphdb.folds import HELD_OUT_FOLDS, fold
from graphdb.snapshot import id_column
from graphdb.snapshot.id_column import IdColumn, IdIndex, id_keys
from graphdb.snapshot.snapshot import Snapshot, newest_snapshot, open_snapshot, take_snapshot
from graphdb.statistics import STATISTICS, user_statistics
from tests.graphdb import made_facts as made
from tests.graphdb.oracle import GraphOracle
from tests.graphdb.specification import Fact
from tests.graphdb.strategies import facts

NETWORK: list[Fact] = [
    made.profile("ann", 1, username="ann"),
    made.profile("Bob", 1, username="bob", is_verified=True),
    made.follow("ann", "Bob", 1),
    made.follow("Bob", "ann", 1),
    made.follow("é", "ann", 1),
    made.follow("ann", "dan", 1),
    made.post("p1", "ann", 3, mentions=["Bob", "ghost", "ann"], like_count=4),
    made.post("p2", "ann", 5, mentions=["Bob"]),
    made.post("p3", "dan", 4),
    made.label("user", "ann", 1, "sea", "sun"),
    made.label("user", "dan", 1, "sun"),
    made.label("user", "dan", 1, "guess", annotator="model"),
    made.label("user", "dan", 1, "calm", task="mood"),
    made.label("post", "p1", 1, "sun"),
]


def store_of(facts_given: list[Fact]) -> GraphOracle:
    store = GraphOracle()
    store.apply(made.batch_of(facts_given))
    return store


def edges(adjacency: Adjacency) -> set[tuple[int, int]]:
    return {(int(row), int(column)) for row, column in adjacency.pairs()}


def test_a_snapshot_holds_the_graph(tmp_path: Path) -> None:
    store = store_of(NETWORK)
    seen: list[tuple[int, int]] = []
    snapshot = take_snapshot(
        store, tmp_path, progress=lambda done, total: seen.append((done, total))
    )
    assert (snapshot.graph_id, snapshot.version) == (store.graph_id, 1)
    assert snapshot.commit_time == store.head().commit_time
    assert snapshot.path == tmp_path / store.graph_id / "1"
    assert list(snapshot.user_ids) == ["Bob", "ann", "dan", "é"]
    assert snapshot.index_of(["é", "nobody", "Bob", "ghost"]).tolist() == [3, -1, 0, -1]
    assert edges(snapshot.followees) == {(1, 0), (0, 1), (3, 1), (1, 2)}
    assert edges(snapshot.followers) == {(0, 1), (1, 0), (1, 3), (2, 1)}
    assert edges(snapshot.mutual) == {(0, 1), (1, 0)}
    assert snapshot.mentions.tolist() == [[1, 0], [1, 1]]
    assert snapshot.post_indptr.tolist() == [0, 0, 2, 3, 3]
    assert list(snapshot.post_ids) == ["p2", "p1", "p3"]
    users, labels = snapshot.labels["topic"]
    assert (users.tolist(), labels) == ([1, 2], [("sea", "sun"), ("sun",)])
    assert snapshot.labels["mood"].users.tolist() == [2]
    assert snapshot.statistics.shape == (4, len(STATISTICS))
    assert snapshot.statistics[1, STATISTICS.index("mean_likes")] == 4
    assert seen == [(4, 4)]


@settings(deadline=None, max_examples=40)
@given(given_facts=st.lists(facts, max_size=40))
def test_a_snapshot_is_the_state_of_the_store(
    tmp_path_factory: pytest.TempPathFactory, given_facts: list[Fact]
) -> None:
    store = store_of(given_facts)
    snapshot = take_snapshot(store, tmp_path_factory.mktemp("snapshots"))
    ids = store.user_ids()
    assert list(snapshot.user_ids) == ids
    for index, user_id in enumerate(ids):
        for adjacency, direction in (
            (snapshot.followees, "followees"),
            (snapshot.followers, "followers"),
            (snapshot.mutual, "mutual"),
        ):
            neighbours = snapshot.user_ids[adjacency.neighbours(index)]
            assert neighbours == store.neighbours(user_id, direction)  # type: ignore[arg-type]
        first, last = snapshot.post_indptr[index : index + 2]
        assert snapshot.post_ids[first:last] == [p.post_id for p in store.posts_of([user_id])]
    posts = store.posts_of(ids)
    expected = user_statistics(store.profiles(ids), posts)
    assert snapshot.statistics.tobytes() == expected.tobytes()
    mentions = {(p.user_id, m) for p in posts for m in p.mentions if m in ids}
    assert {(ids[a], ids[m]) for a, m in snapshot.mentions} == mentions
    source, target = snapshot.followees.rows(), snapshot.followees.indices
    assert snapshot.followees.folds.tolist() == [
        fold(ids[u], ids[v]) for u, v in zip(source, target, strict=True)
    ]


def test_an_empty_graph_has_a_snapshot(tmp_path: Path) -> None:
    snapshot = take_snapshot(GraphOracle(), tmp_path)
    assert (snapshot.num_users, snapshot.num_posts, snapshot.version) == (0, 0, 0)
    assert snapshot.index_of(["ann"]).tolist() == [-1]
    assert snapshot.without_folds(HELD_OUT_FOLDS).mutual.num_edges == 0


def test_the_same_version_is_not_exported_again(tmp_path: Path) -> None:
    store = store_of(NETWORK)
    take_snapshot(store, tmp_path)
    exported: list[int] = []
    again = take_snapshot(store, tmp_path, progress=lambda done, _: exported.append(done))
    assert exported == []
    assert again.version == 1
    store.apply(made.batch_of([made.profile("eve", 1)]))
    assert take_snapshot(store, tmp_path).version == 2


def test_the_newest_snapshot_is_that_of_the_greatest_version(tmp_path: Path) -> None:
    store = GraphOracle()
    assert newest_snapshot(tmp_path, store.graph_id) is None
    for number in range(11):
        store.apply(made.batch_of([made.profile(f"user {number}", 1)]))
        take_snapshot(store, tmp_path)
    newest = newest_snapshot(tmp_path, store.graph_id)
    assert newest is not None
    assert newest.version == 11
    assert newest_snapshot(tmp_path, "another graph") is None


# Damage


def test_a_changed_byte_is_found(tmp_path: Path) -> None:
    path = take_snapshot(store_of(NETWORK), tmp_path).path
    damaged = path / "statistics.npy"
    content = bytearray(damaged.read_bytes())
    content[-1] ^= 1
    damaged.write_bytes(content)
    with pytest.raises(SnapshotCorrupt, match=r"statistics\.npy does not match its checksum"):
        open_snapshot(path)
    assert open_snapshot(path, verify=False).num_users == 4


def test_a_short_or_missing_file_is_found_without_checksums(tmp_path: Path) -> None:
    path = take_snapshot(store_of(NETWORK), tmp_path).path
    short = path / "mentions.npy"
    short.write_bytes(short.read_bytes()[:-4])
    with pytest.raises(SnapshotCorrupt, match="bytes instead of"):
        open_snapshot(path, verify=False)
    short.unlink()
    with pytest.raises(SnapshotCorrupt, match="is missing"):
        open_snapshot(path, verify=False)


def test_an_absent_or_newer_snapshot_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SnapshotMissing, match="take one first"):
        open_snapshot(tmp_path / "7")
    path = take_snapshot(store_of(NETWORK), tmp_path).path
    manifest = path / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"format_version":1', '"format_version":2'))
    with pytest.raises(FormatRefused):
        open_snapshot(path)
    manifest.write_text("{")
    with pytest.raises(SnapshotCorrupt, match="is not JSON"):
        open_snapshot(path)


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(GraphUnavailable, match="cannot write a snapshot below") as caught:
        take_snapshot(store_of(NETWORK), tmp_path / "file")
    assert "\n" not in str(caught.value)


def test_a_failed_export_leaves_nothing(tmp_path: Path) -> None:
    def fail(done: int, total: int) -> None:
        raise KeyboardInterrupt

    store = store_of(NETWORK)
    with pytest.raises(KeyboardInterrupt):
        take_snapshot(store, tmp_path, progress=fail)
    assert [each.name for each in (tmp_path / store.graph_id).iterdir()] == [".lock"]


TOUCHES = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree")


def killed_at(touch: int, store: GraphOracle, root: Path) -> bool:
    """Take a snapshot in a child that kills itself before its `touch`-th use of the disk."""
    child = os.fork()
    if child == 0:
        left = touch

        def die(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal left
            if event in TOUCHES and str(root) in str(arguments[0]):
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(die)
        take_snapshot(store, root)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


@pytest.mark.slow
def test_whenever_the_writer_is_killed_no_torn_snapshot_is_seen(tmp_path: Path) -> None:
    store = store_of(NETWORK)
    seen: set[bool] = set()
    touch = 0
    while True:
        root = tmp_path / str(touch)
        root.mkdir()
        survived = not killed_at(touch, store, root)
        found = newest_snapshot(root, store.graph_id)
        seen.add(found is not None)
        assert found is None or list(found.user_ids) == ["Bob", "ann", "dan", "é"]
        take_snapshot(store, root)
        left = sorted(each.name for each in (root / store.graph_id).iterdir())
        assert left == [".lock", "1"]
        if survived:
            break
        touch += 1
    assert touch > 40
    assert seen == {True, False}


# Sharing


def test_writers_at_once_make_one_snapshot(tmp_path: Path) -> None:
    store = store_of(NETWORK)
    children = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            snapshot = take_snapshot(store, tmp_path)
            os._exit(0 if snapshot.num_users == 4 else 1)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    left = sorted(each.name for each in (tmp_path / store.graph_id).iterdir())
    assert left == [".lock", "1"]


def test_another_process_reads_it_and_a_pickle_is_its_path(tmp_path: Path) -> None:
    snapshot = take_snapshot(store_of(NETWORK), tmp_path)
    packed = pickle.dumps(snapshot)
    assert len(packed) < 500
    code = (
        "import pickle, sys; snapshot = pickle.load(sys.stdin.buffer);"
        "print(snapshot.num_users, snapshot.mutual.indices.tolist())"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], input=packed, capture_output=True, check=True
    )
    assert ran.stdout == b"4 [1, 0]\n"
    reopened: Snapshot = pickle.loads(packed)
    assert not reopened.statistics.flags.owndata
    with pytest.raises(ValueError, match="read-only"):
        reopened.statistics[0, 0] = 1


# Ids


@given(st.lists(st.text(min_size=1, max_size=5), unique=True), st.lists(st.text(max_size=5)))
def test_ids_are_found_by_position_and_positions_by_id(ids: list[str], asked: list[str]) -> None:
    column = IdColumn.of(ids)
    assert list(column) == ids
    assert [column[i] for i in range(len(ids))] == ids
    assert column[::-1] == ids[::-1]
    keys = id_keys(ids)
    order = np.argsort(keys)
    index = IdIndex(column, keys[order], order.astype(np.int32))
    wanted = asked + ids
    expected = [ids.index(each) if each in ids else -1 for each in wanted]
    assert index.find(wanted).tolist() == expected


def test_ids_that_share_a_key_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(id_column, "id_keys", lambda ids: np.full(len(ids), 7, dtype=np.uint64))
    column = IdColumn.of(["a", "b", "c"])
    index = IdIndex(column, np.full(3, 7, dtype=np.uint64), np.arange(3, dtype=np.int32))
    assert index.find(["c", "x", "a", "b"]).tolist() == [2, -1, 0, 1]


# Adjacency

NUM_NODES = 7
pairs = st.tuples(st.integers(0, NUM_NODES - 1), st.integers(0, NUM_NODES - 1))
follows = st.dictionaries(pairs.filter(lambda pair: pair[0] != pair[1]), st.integers(0, 99))


def graph_of(follows_given: dict[tuple[int, int], int]) -> SnapshotGraph:
    ends = np.array(list(follows_given), dtype=np.int64).reshape(-1, 2)
    folds = np.array(list(follows_given.values()), dtype=np.uint8)
    return graph_of_follows(NUM_NODES, ends[:, 0], ends[:, 1], folds)


@given(follows, st.sets(st.integers(0, 99)))
def test_an_edge_of_a_removed_fold_is_gone_in_all_views(
    given_follows: dict[tuple[int, int], int], removed: set[int]
) -> None:
    graph = graph_of(given_follows).without_folds(removed)
    kept = {pair for pair, number in given_follows.items() if number not in removed}
    assert edges(graph.followees) == kept
    assert edges(graph.followers) == {(v, u) for u, v in kept}
    assert edges(graph.mutual) == {(u, v) for u, v in kept if (v, u) in kept}
    for adjacency in (graph.followees, graph.followers, graph.mutual):
        for node in range(NUM_NODES):
            assert (np.diff(adjacency.neighbours(node)) > 0).all()
    for row, column, number in zip(
        graph.mutual.rows(), graph.mutual.indices, graph.mutual.folds, strict=True
    ):
        assert number == given_follows[row, column]
    chosen = {pair for pair, number in given_follows.items() if number in removed}
    found = graph_of(given_follows).followees.pairs(removed)
    assert {(int(u), int(v)) for u, v in found} == chosen


@given(follows)
def test_contains_says_of_every_pair_whether_it_is_an_edge(
    given_follows: dict[tuple[int, int], int],
) -> None:
    rows, columns = np.indices((NUM_NODES, NUM_NODES)).reshape(2, -1)
    found = graph_of(given_follows).followees.contains(rows, columns)
    assert found.tolist() == [(u, v) in given_follows for u, v in zip(rows, columns, strict=True)]


def test_a_follow_given_twice_or_a_fold_that_does_not_exist_is_refused() -> None:
    twice = np.array([0, 0])
    with pytest.raises(ValueError, match="given twice"):
        graph_of_follows(3, twice, twice + 1, np.zeros(2, dtype=np.uint8))
    with pytest.raises(ValueError, match="fold 100 does not exist"):
        graph_of({}).without_folds([100])
