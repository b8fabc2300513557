"""Rules of the contract: neighbours drawn at random, degrees, and follows among users."""

from collections.abc import Sequence
from itertools import pairwise
from typing import get_args

import numpy as np
import pytest

from graphdb.folds import HELD_OUT_FOLDS, fold
from graphdb.store import GraphStore, Relation
from tests.graphdb.made_facts import (
    batch_of,
    follow,
    post,
    post_deletion,
    profile,
    unfollow,
    user_deletion,
)
from tests.graphdb.specification import Fact

RELATIONS: tuple[Relation, ...] = get_args(Relation)
NEIGHBOURS = [f"n{number:02}" for number in range(24)]
NUM_DRAWS = 4_000
FAN_OUT = 5


def wheel() -> list[Fact]:
    """A hub that has every neighbour in every relation, with some gone and strangers about."""
    facts: list[Fact] = []
    for name in [*NEIGHBOURS, "gone", "left"]:
        facts += [follow("hub", name, 1), follow(name, "hub", 1)]
        facts += [post(f"to {name}", "hub", 1, mentions=[name, "hub", "nobody"])]
        facts += [post(f"{again} from {name}", name, 1, mentions=["hub"]) for again in "ab"]
    facts += [follow(a, b, 1) for a, b in pairwise(NEIGHBOURS)]
    facts += [unfollow("hub", "left", 2), unfollow("left", "hub", 2), user_deletion("gone", 2)]
    facts += [post_deletion(f"{each} left", 2) for each in ("to", "a from", "b from")]
    return [*facts, profile("lonely", 1)]


def excess(counts: Sequence[int] | np.ndarray, probability: float, num_draws: int) -> float:
    """Chi-square of inclusions without replacement by its degrees of freedom: about 1."""
    counts = np.asarray(counts)
    variance = num_draws * probability * (1 - probability)
    return float(((counts - num_draws * probability) ** 2).sum() / variance / len(counts))


def drawn_counts(rows: list[list[str]]) -> dict[str, int]:
    counts = dict.fromkeys(NEIGHBOURS, 0)
    for row in rows:
        for name in row:
            counts[name] += 1
    return counts


class SamplingRules:
    """What is sampled are neighbours, each as likely as any other."""

    @pytest.mark.parametrize("relation", RELATIONS)
    def test_a_fan_out_beyond_the_degree_gives_all_that_stand(
        self, store: GraphStore, relation: Relation
    ) -> None:
        store.apply(batch_of(wheel()))
        users = ["hub", "stranger", "lonely", "nobody", "gone", "hub"]
        expected = sorted(NEIGHBOURS * 2 if relation == "either" else NEIGHBOURS)
        for fan_out in (len(expected), 1_000, -1):
            rows = store.sample(users, relation, fan_out, seed=1)
            assert [sorted(row) for row in rows] == [expected, [], [], [], [], expected]
        degree = len(expected)
        assert store.degrees(users, relation).tolist() == [degree, 0, 0, 0, 0, degree]
        assert store.sample(["hub"], relation, 0, seed=1) == [[]]
        assert store.sample([], relation, 3, seed=1) == []
        assert store.degrees([], relation).tolist() == []

    @pytest.mark.parametrize("relation", RELATIONS)
    def test_each_neighbour_is_drawn_as_often_as_any_other(
        self, store: GraphStore, relation: Relation
    ) -> None:
        store.apply(batch_of(wheel()))
        rows = store.sample(["hub"] * NUM_DRAWS, relation, FAN_OUT, seed=3)
        assert {len(row) for row in rows} == {FAN_OUT}
        counts = list(drawn_counts(rows).values())
        if relation == "either":
            assert 0.3 < excess(counts, 2 * FAN_OUT / 48, NUM_DRAWS) < 2.5
            return
        assert all(len(set(row)) == FAN_OUT for row in rows)
        assert 0.3 < excess(counts, FAN_OUT / 24, NUM_DRAWS) < 2.5
        # Two neighbours come together, and draws after each other, as chance has it.
        together = sum(NEIGHBOURS[0] in row and NEIGHBOURS[1] in row for row in rows)
        again = sum(
            NEIGHBOURS[0] in row and NEIGHBOURS[0] in after for row, after in pairwise(rows)
        )
        assert abs(together - NUM_DRAWS * 20 / 552) < 5 * (NUM_DRAWS * 20 / 552) ** 0.5
        assert abs(again - NUM_DRAWS * (5 / 24) ** 2) < 5 * (NUM_DRAWS * (5 / 24) ** 2) ** 0.5

    @pytest.mark.parametrize("relation", RELATIONS)
    def test_follows_of_folds_that_are_left_out_never_appear(
        self, store: GraphStore, relation: Relation
    ) -> None:
        store.apply(batch_of(wheel()))
        out = HELD_OUT_FOLDS if relation != "mutual" else range(40)
        outward = [name for name in NEIGHBOURS if fold("hub", name) not in out]
        inward = [name for name in NEIGHBOURS if fold(name, "hub") not in out]
        expected = {
            "followees": outward,
            "followers": inward,
            "mutual": sorted(set(outward) & set(inward)),
            "either": sorted([*outward, *inward]),
        }.get(relation, NEIGHBOURS)
        assert (len(expected) < len(NEIGHBOURS)) == (
            relation in ("followees", "followers", "mutual")
        )
        rows = store.sample(["hub"] * 200, relation, 3, without_folds=out, seed=5)
        assert {name for row in rows for name in row} == set(expected)
        assert sorted(store.sample(["hub"], relation, -1, without_folds=out, seed=5)[0]) == expected
        assert store.degrees(["hub"], relation, without_folds=out).tolist() == [len(expected)]

    @pytest.mark.parametrize("relation", ["followees", "followers", "mutual", "either"])
    def test_draws_are_a_function_of_the_seed(self, store: GraphStore, relation: Relation) -> None:
        store.apply(batch_of(wheel()))
        first, again, other = (
            [sorted(row) for row in store.sample(["hub"] * 9, relation, 4, seed=seed)]
            for seed in (7, 7, 8)
        )
        assert first == again
        assert first != other

    def test_follows_among_users_are_those_that_are_live(self, store: GraphStore) -> None:
        store.apply(batch_of(wheel()))
        ends = ["n00", "hub", "stranger", "n02", "left", "gone", "n01"]
        pairs = {
            (ends[i], ends[::-1][j]) for i, j in store.follows_among(ends, ends[::-1]).tolist()
        }
        names = ("n00", "n01", "n02")
        assert pairs == {
            *(("hub", name) for name in names),
            *((name, "hub") for name in names),
            ("n00", "n01"),
            ("n01", "n02"),
        }
        assert store.follows_among(["hub", "x", "hub"], ["n05"]).tolist() == [[0, 0], [2, 0]]
        assert store.follows_among([], ends).shape == (0, 2)
        assert store.follows_among(ends, []).shape == (0, 2)
