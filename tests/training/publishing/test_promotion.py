"""Promotion: what is as good as the active generation passes; small losses do not add up."""

from collections.abc import Iterator, Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from featurestore.definitions import MODALITIES
from featurestore.generations.generation import REQUIRED, Generation
from graphdb.snapshot.snapshot import Snapshot
from tests.training.learnable_network import NUM_JUDGED, judged_network
from tests.training.publishing.small_publication import never, opened
from training.encoding.all_users import UserVectors
from training.evaluation.evaluator import Evaluator, prepare_evaluator
from training.evaluation.link_pairs import LinkPairs
from training.evaluation.paired_auc import KINDS, PairedDifference, paired_differences
from training.publishing.checks import Check
from training.publishing.promotion import (
    ACTIVE,
    EVALUATED,
    NAME,
    REFERENCE,
    Comparison,
    not_worse,
    rivals_of,
    verdict_of,
)
from training.publishing.stores import Stores
from training.publishing.trial import Trial
from training.publishing.verdict import recorded

NUM_FOLLOWS = 1_000
PAIRS = LinkPairs(
    followers=np.arange(2 * NUM_FOLLOWS),
    followees=np.tile(np.arange(NUM_FOLLOWS), 2),
    follows=np.arange(NUM_FOLLOWS),
    same_followee=np.arange(NUM_FOLLOWS, 2 * NUM_FOLLOWS)[:, None],
    uniform=np.roll(np.arange(NUM_FOLLOWS, 2 * NUM_FOLLOWS), 7)[:, None],
    num_without_negatives=0,
)
NETWORK = judged_network()
MANIFEST = dict.fromkeys(REQUIRED, 0) | {"scales": dict.fromkeys(MODALITIES, 1.0)}
NO_COUNTS: Mapping[str, tuple[str, float]] = {}


@pytest.fixture
def stores(store, settings) -> Iterator[Stores]:
    with opened(store, settings) as found:
        yield found


def scores_that_lose(share: float) -> NDArray[np.float32]:
    """Scores (Q,) of AUC 1 - `share`: so many follows are below all negatives, the others above."""
    scores = np.zeros(2 * NUM_FOLLOWS, np.float32)
    scores[:NUM_FOLLOWS] = 1
    scores[: round(share * NUM_FOLLOWS)] = -1
    return scores


def beside(loss: float, rival_loss: float, role: str = ACTIVE, name: str = "g0") -> Comparison:
    differences = paired_differences(PAIRS, scores_that_lose(loss), scores_that_lose(rival_loss))
    return Comparison(role=role, generation_id=name, differences=differences)


def differing(difference: float, standard_error: float) -> Comparison:
    each = PairedDifference(auc=0.8 + difference, other_auc=0.8, standard_error=standard_error)
    return Comparison(role=ACTIVE, generation_id="g0", differences={"uniform": each})


@pytest.mark.parametrize(
    ("difference", "standard_error", "passes"),
    [
        (0.03, 0.0, True),
        (0.0, 0.0, True),
        (-0.004, 0.0, True),
        (-0.006, 0.0, False),
        (-0.006, 0.004, True),
        (-0.03, 0.014, False),
    ],
)
def test_it_may_lose_the_margin_or_two_standard_errors(
    difference: float, standard_error: float, passes: bool
) -> None:
    found = verdict_of("g1", [differing(difference, standard_error)], NO_COUNTS, 0.005)
    assert (not found.flaws) == passes


def test_a_flaw_names_figures_rival_and_what_is_allowed() -> None:
    (flaw,) = verdict_of("g1", [differing(-0.1, 0.01)], NO_COUNTS, 0.005).flaws
    assert flaw == (
        "AUC 0.7000 against uniform negatives is below the 0.8000 of g0 (active) by more than "
        "0.0200"
    )


@pytest.mark.parametrize(("count", "passes"), [(0.79, True), (0.799, False), (0.81, True)])
def test_a_count_is_no_rival_unless_the_active_generation_is_above_it(
    count: float, passes: bool
) -> None:
    active = differing(-0.004, 0.0)
    found = verdict_of("g1", [active], {"uniform": ("Adamic-Adar", count)}, 0.005)
    assert (not found.flaws) == passes


def kept(stores: Stores, name: str, check: Check) -> Generation:
    """A generation that was sealed and given this verdict, and is active where it passed."""
    (stores.generations.begin(name) / "file").write_text(name)
    generation = stores.generations.seal(name, MANIFEST)
    recorded([check], stores.generations.verdicts(name))
    if not check.flaws:
        stores.online.change_pointer(lambda found: found.activated(name, reason="", time=0))
    return generation


def judged_alone(name: str, *, evaluated: bool = True) -> Check:
    return Check(name=NAME, flaws=(), figures={EVALUATED: evaluated, REFERENCE: name})


def test_the_first_generation_passes_and_is_its_own_reference(stores: Stores) -> None:
    check = not_worse("g0", None, stores, never)
    assert check == judged_alone("g0", evaluated=False)
    first = kept(stores, "g0", check)
    assert list(rivals_of(first, stores.generations)) == [(ACTIVE, first)]


@pytest.mark.parametrize("evaluated", [True, False])
def test_where_too_few_follows_are_held_out_it_replaces_its_like_alone(
    stores: Stores, evaluated: bool
) -> None:
    kept(stores, "g0", judged_alone("g0", evaluated=evaluated))
    check = not_worse("g1", None, stores, never)
    flaw = "too few follows are held out to compare it with g0 (active)"
    assert check.flaws == ((flaw,) if evaluated else ())


def test_small_losses_do_not_add_up(stores: Stores) -> None:
    """Each of twenty retrainings loses 0.004 to the active generation, less than the margin."""
    active = kept(stores, "g0", judged_alone("g0"))
    loss_of = {"g0": 0.0}
    refused = []
    for number in range(1, 21):
        name = f"g{number}"
        loss_of[name] = loss_of[active.id] + 0.004
        compared = [
            beside(loss_of[name], loss_of[rival.id], role, rival.id)
            for role, rival in rivals_of(active, stores.generations)
        ]
        check = verdict_of(name, compared, NO_COUNTS, 0.005)
        generation = kept(stores, name, check)
        if check.flaws:
            refused.append(check.flaws)
        else:
            active = generation
    assert active.id == "g1"
    assert len(refused) == 19
    assert all("of g0 (reference)" in flaw for flaws in refused for flaw in flaws)


@pytest.fixture(scope="module")
def evaluator() -> Evaluator:
    return prepare_evaluator(NETWORK.snapshot, NETWORK.texts, seed=0)


def informed(seed: int) -> NDArray[np.float32]:
    """R of a network that has learnt the topics; another seed, other noise."""
    rng = np.random.default_rng(seed)
    sides = np.array([1.0, -1.0])[NETWORK.topics]
    return (sides[:, None] + 0.3 * rng.standard_normal((NUM_JUDGED, 6))).astype(np.float32)


def encode(generation: Generation, snapshot: Snapshot, *, all_follows: bool) -> UserVectors:
    """By a network that has learnt the topics."""
    assert not all_follows
    rows = informed(1)
    has = np.ones(len(rows), np.bool_)
    return UserVectors(
        graph=rows[:, :2], image=rows[:, 2:4], text=rows[:, 4:], has_image=has, has_text=has
    )


@pytest.mark.parametrize("learnt", [True, False])
def test_a_twin_of_another_seed_passes_and_one_that_has_learnt_nothing_does_not(
    stores: Stores, evaluator: Evaluator, learnt: bool
) -> None:
    first = kept(stores, "g0", judged_alone("g0"))
    noise = np.random.default_rng(0).standard_normal((NUM_JUDGED, 6)).astype(np.float32)
    trial = Trial(
        snapshot=NETWORK.snapshot,
        evaluator=evaluator,
        R_ND=informed(2) if learnt else noise,
        margin=0.005,
    )
    check = not_worse("g1", trial, stores, encode)
    assert (not check.flaws) == learnt
    compared = check.figures["compared"][ACTIVE]
    assert compared["generation"] == first.id
    assert compared["uniform"]["other_auc"] > 0.7
    assert set(check.figures["counts"]) == set(KINDS)
