"""The database draws as the snapshot does: the same distribution, negatives and neighbours."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from graphdb import open_graph
from graphdb.facts import Batch
from graphdb.folds import HELD_OUT_FOLDS, fold
from graphdb.snapshot.snapshot import Snapshot, take_snapshot
from graphdb.store import GraphStore
from tests.graphdb.made_facts import batch_of, follow, post, profile, unfollow
from tests.graphdb.sampling_rules import excess
from training.errors import NothingToTrain
from training.sampling.config import Edges
from training.sampling.database_source import DatabaseSource, in_random_order
from training.sampling.negatives import draw_negatives
from training.sampling.snapshot_source import SnapshotSource
from training.sampling.source import GraphVersions

NUM_USERS = 40
KINDS: tuple[Edges, ...] = ("mutual", "follows+mentions")


def user(number: int) -> str:
    return f"u{number:02}"


def network() -> Batch:
    """Follows of all degrees, many of them mutual, and posts that mention."""
    rng = np.random.default_rng(0)
    liked = np.linspace(0.05, 0.8, NUM_USERS)
    follows = rng.random((NUM_USERS, NUM_USERS)) < np.sqrt(liked[:, None] * liked)
    follows[7] = follows[:, 7] = False
    pairs = [
        (u, v)
        for u, v in np.argwhere(follows | (follows.T & (rng.random(follows.shape) < 0.5)))
        if u != v
    ]
    named = [(u, (u * u + 3) % NUM_USERS) for u in range(NUM_USERS)]
    return batch_of(
        [
            *(profile(user(number), 1) for number in range(NUM_USERS)),
            *(follow(user(u), user(v), 1) for u, v in pairs),
            *(post(f"p{u}", user(u), 1, mentions=[user(v), "nobody"]) for u, v in named),
        ]
    )


@dataclass
class Pinned:
    """A store that was pinned, and what happened to it since."""

    store: GraphStore
    snapshot: Snapshot
    folder: Path

    def database(self, edges: Edges) -> DatabaseSource:
        return DatabaseSource(self.snapshot, edges, self.store)

    def later(self, edges: Edges) -> SnapshotSource:
        """What a snapshot of now would draw from; its users are those that were pinned."""
        snapshot = take_snapshot(self.store, self.folder)
        assert list(snapshot.user_ids) == list(self.snapshot.user_ids)
        return SnapshotSource(snapshot, edges)


@pytest.fixture(params=["sqlite", pytest.param("neo4j", marks=pytest.mark.servers("Neo4j"))])
def pinned(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pinned]:
    url = f"sqlite:///{tmp_path / 'graph.db'}"
    if request.param == "neo4j":
        url = request.getfixturevalue("neo4j_server").url
        empty_database(url)
    store = open_graph(url)
    store.apply(network())
    yield Pinned(store, take_snapshot(store, tmp_path / "snapshots"), tmp_path / "snapshots")
    store.close()


def empty_database(url: str) -> None:
    """Delete what an earlier test left in the one database of a server."""
    from tests.graphdb.neo4j_database import TestDatabase

    database = TestDatabase(url)
    database.empty()
    database.close()


def change(store: GraphStore) -> None:
    """One user follows everybody, another nobody any more, a third comes back."""
    others = [number for number in range(NUM_USERS) if number not in (0, 5, 7)]
    store.apply(batch_of(unfollow(user(5), user(v), 2) for v in others))
    store.apply(batch_of(follow(user(0), user(v), 2) for v in others))
    store.apply(batch_of([follow(user(v), user(0), 2) for v in others[:20]]))
    store.apply(batch_of([follow(user(7), user(8), 2), follow(user(8), user(7), 2)]))


def keys(source: SnapshotSource) -> np.ndarray:
    rows = source.follows[0]
    return rows.rows().astype(np.int64) * NUM_USERS + rows.indices


def edge_counts(
    draw: Callable[[int, np.random.Generator], tuple[np.ndarray, np.ndarray]],
    edges: np.ndarray,
    num_draws: int,
) -> np.ndarray:
    u, v = draw(num_draws, np.random.default_rng(4))
    drawn = u * NUM_USERS + v
    assert len(drawn) == num_draws
    assert np.isin(drawn, edges).all()
    return np.bincount(np.searchsorted(edges, drawn), minlength=len(edges))


@pytest.mark.parametrize(
    ("edges", "changed"), [(KINDS[0], True), (KINDS[1], False), (KINDS[1], True)]
)
def test_random_edges_are_uniform_as_the_snapshot_s_are(
    pinned: Pinned, edges: Edges, changed: bool
) -> None:
    source = pinned.database(edges)
    if changed:
        change(pinned.store)
    now = pinned.later(edges)
    all_edges, num_draws = keys(now), 6_000
    source.catch_up()
    for each in (source, now):
        counts = edge_counts(each.random_edges, all_edges, num_draws)
        assert 0.7 < excess(counts, 1 / len(all_edges), num_draws) < 1.4
    u, v = source.edges(200, np.random.default_rng(0))
    assert len(set(zip(u.tolist(), v.tolist(), strict=True))) == 200
    assert np.isin(u * NUM_USERS + v, all_edges).all()


@pytest.mark.parametrize("edges", KINDS)
def test_connected_users_are_uniform_and_so_are_their_partners(
    pinned: Pinned, edges: Edges
) -> None:
    source = pinned.database(edges)
    change(pinned.store)
    now = pinned.later(edges)
    degrees = np.sum([each.degrees() for each in now.follows], axis=0)
    able = np.flatnonzero(degrees)
    seen, partners = [], []
    num_draws, per_draw = 150, 10
    for seed in range(num_draws):
        u, v = source.connected(per_draw, np.random.default_rng(seed))
        assert len(set(u.tolist())) == per_draw
        seen.append(u)
        partners.append(v[u == 0])
    counts = np.bincount(np.concatenate(seen), minlength=NUM_USERS)
    assert not counts[degrees == 0].any()
    assert excess(counts[able], per_draw / len(able), num_draws) < 1.9
    own = np.concatenate([each.neighbours(0) for each in now.follows])
    found = np.concatenate(partners)
    assert np.isin(found, own).all()
    assert len(set(found.tolist())) > 10
    everybody, _ = source.connected(1_000, np.random.default_rng(0))
    assert sorted(everybody.tolist()) == able.tolist()


@pytest.mark.parametrize("edges", KINDS)
def test_negatives_and_fixed_neighbours_are_the_snapshot_s(pinned: Pinned, edges: Edges) -> None:
    source = pinned.database(edges)
    change(pinned.store)
    now = pinned.later(edges)
    assert source.num_users == now.num_users
    assert source.num_edges == SnapshotSource(pinned.snapshot, edges).num_edges
    assert source.num_relations == now.num_relations
    assert source.num_follow_relations == now.num_follow_relations
    u, v = (each.ravel() for each in np.indices((NUM_USERS, NUM_USERS)))
    assert np.array_equal(source.allowed(u, v), now.allowed(u, v))
    targets = np.random.default_rng(1).permutation(NUM_USERS)
    for relation in range(now.num_relations):
        for fan_out in (3, NUM_USERS):
            drawn = [
                set(
                    zip(
                        *map(
                            np.ndarray.tolist,
                            each.lowest_hash_neighbours(relation, targets, fan_out, b"salt"),
                        ),
                        strict=True,
                    )
                )
                for each in (source, now)
            ]
            assert drawn[0] == drawn[1]


@pytest.mark.parametrize("edges", KINDS)
def test_neighbours_are_drawn_alike(pinned: Pinned, edges: Edges) -> None:
    source, now = pinned.database(edges), SnapshotSource(pinned.snapshot, edges)
    again = 600
    for relation in range(now.num_relations):
        degrees = now.relations[relation].degrees()
        hub = int(degrees.argmax())
        for each in (source, now):
            targets = np.full(again, hub)
            users, places = each.neighbours(relation, targets, 4, np.random.default_rng(2))
            own = now.relations[relation].neighbours(hub)
            assert np.isin(users, own).all()
            assert set(np.bincount(places, minlength=again).tolist()) == {min(4, len(own))}
            if len(own) > 4:
                counts = np.bincount(np.searchsorted(own, users), minlength=len(own))
                assert 0.2 < excess(counts, 4 / len(own), again) < 2.6


def test_held_out_follows_stay_out_of_all_that_is_drawn_while_events_arrive(
    pinned: Pinned,
) -> None:
    source = pinned.database("follows")
    rng = np.random.default_rng(0)
    drawn: set[tuple[int, int]] = set()
    for step in range(12):
        pairs = [(u, v) for u, v in rng.integers(0, NUM_USERS, (30, 2)).tolist() if u != v]
        facts = [
            follow(user(u), user(v), 10 + step, live=bool(rng.random() < 0.7)) for u, v in pairs
        ]
        pinned.store.apply(batch_of({(f.follower_id, f.followee_id): f for f in facts}.values()))
        for u, v in (source.edges(40, rng), source.random_edges(40, rng)):
            drawn |= set(zip(u.tolist(), v.tolist(), strict=True))
        users, places = source.neighbours(0, np.arange(NUM_USERS), 6, rng)
        drawn |= set(zip(places.tolist(), users.tolist(), strict=True))
        users, places = source.neighbours(1, np.arange(NUM_USERS), 6, rng)
        drawn |= set(zip(users.tolist(), places.tolist(), strict=True))
        not_u, not_v = draw_negatives(source, *source.edges(20, rng), rng, hard="two_hop")
        live = pinned.store.follows_among(
            *(pinned.snapshot.user_ids[each] for each in (not_u, np.unique(not_v)))
        )
        assert not {(user(not_u[i]), user(np.unique(not_v)[j])) for i, j in live.tolist()} & set(
            zip(map(user, not_u), map(user, not_v), strict=True)
        )
    assert len(drawn) > 300
    assert not {fold(user(u), user(v)) for u, v in drawn} & set(HELD_OUT_FOLDS)
    begun = pinned.snapshot.version
    assert source.versions == GraphVersions(first=begun + 1, last=begun + 12)


def test_users_that_came_after_the_snapshot_are_left_out(pinned: Pinned) -> None:
    source = pinned.database("follows")
    new = [f"new{number}" for number in range(30)]
    pinned.store.apply(
        batch_of(
            [
                *(follow(user(0), name, 2) for name in new),
                *(follow(name, user(0), 2) for name in new),
            ]
        )
    )
    rng = np.random.default_rng(0)
    for u, v in (source.edges(100, rng), source.connected(NUM_USERS, rng)):
        assert u.min() >= 0 <= v.min()
        assert max(u.max(), v.max()) < NUM_USERS
    users, _ = source.neighbours(0, np.zeros(1, np.int64), -1, rng)
    assert len(users)
    assert users.max() < NUM_USERS


@pytest.mark.parametrize("pinned", ["sqlite"], indirect=True)
def test_all_edges_at_once_are_found_in_few_rounds(
    pinned: Pinned, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = pinned.database("mutual")
    rounds: list[int] = []
    ask = source.random_edges
    monkeypatch.setattr(
        source,
        "random_edges",
        lambda count, rng: ask(rounds.append(count) or count, rng),  # type: ignore[func-returns-value]
    )
    u, v = source.edges(source.num_edges, np.random.default_rng(0))
    assert len(set(zip(u.tolist(), v.tolist(), strict=True))) == source.num_edges
    assert len(rounds) < 30


@pytest.mark.parametrize("pinned", ["sqlite"], indirect=True)
def test_a_draw_that_its_last_round_filled_is_whole(
    pinned: Pinned, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.sampling.database_source.MAX_ROUNDS", 1)
    source = pinned.database("mutual")
    one = np.zeros(1, np.int64)
    monkeypatch.setattr(source, "_accepted", lambda count, rng: (one, one))
    u, _ = source.random_edges(1, np.random.default_rng(0))
    assert len(u) == 1
    with pytest.raises(NothingToTrain, match="no follow left"):
        source.random_edges(2, np.random.default_rng(0))


def test_a_draw_repeats_while_nothing_is_committed(pinned: Pinned) -> None:
    first, again = (
        [
            *source.edges(30, rng),
            *source.connected(10, rng),
            *source.neighbours(0, np.arange(9), 3, rng),
        ]
        for source, rng in ((pinned.database("mutual"), np.random.default_rng(3)) for _ in range(2))
    )
    for one, other in zip(first, again, strict=True):
        assert np.array_equal(one, other)


def test_another_graph_and_an_empty_one_are_refused_in_one_line(
    pinned: Pinned, tmp_path: Path
) -> None:
    other = open_graph(f"sqlite:///{tmp_path / 'other.db'}")
    with pytest.raises(NothingToTrain, match="another graph than the run's snapshot"):
        DatabaseSource(pinned.snapshot, "mutual", other)
    other.close()
    source = pinned.database("follows")
    follows = pinned.store.follows()
    ends = [
        [follows.user_ids[each] for each in column]
        for column in (follows.followers, follows.followees)
    ]
    pinned.store.apply(batch_of(unfollow(a, b, 9) for a, b in zip(*ends, strict=True)))
    with pytest.raises(NothingToTrain, match="no follow left"):
        source.edges(3, np.random.default_rng(0))
    sources, _ = source.connected(3, np.random.default_rng(0))
    assert not len(sources)


def test_values_come_in_random_order_without_repeats() -> None:
    values = np.arange(0, 300, 3)
    firsts = []
    for seed in range(400):
        pieces = list(in_random_order(values, 4, np.random.default_rng(seed)))
        assert sorted(np.concatenate(pieces).tolist()) == values.tolist()
        firsts.append(np.concatenate(pieces)[:4] // 3)
    assert 0.5 < excess(np.bincount(np.concatenate(firsts), minlength=100), 4 / 100, 400) < 1.6
