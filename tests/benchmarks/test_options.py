"""What options are worth: evaluated without bias, kept, compared seed by seed."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.runs import validation
from benchmarks.runs.option_results import DEFAULT, Result, read, table, write
from benchmarks.runs.options import LITERAL, VARIANTS, Study, changed
from benchmarks.runs.validation import validation_evaluator
from graphdb.folds import VALIDATION_FOLDS
from graphdb.snapshot.snapshot import Snapshot
from tests.training.learnable_network import NUM_JUDGED, judged_network
from training.encoding.all_users import UserVectors
from training.evaluation.link_pairs import LinkPairs
from training.evaluation.modality_cosine import Modality
from training.mmga.config import RunConfig
from training.mmga.recipes import tiny
from training.options.assignments import options
from training.options.document import to_json


def result(variant: str, seed: int, value: float, **others: object) -> Result:
    values = {"config": to_json(tiny()), "vectors": f"{variant} {seed}", "seconds": 2.0} | others
    return Result(variant=variant, seed=seed, figures={"R, uniform": value}, **values)


def test_every_variant_changes_the_default_and_is_named_after_it() -> None:
    configs = {variant: changed(tiny(), variant) for variant in VARIANTS}
    assert configs.pop(DEFAULT) == tiny()
    assert len({to_json(replace(each, recipe="")) for each in configs.values()}) == len(configs)


def test_every_form_that_an_option_offers_is_measured() -> None:
    measured = {each for assignments in VARIANTS.values() for each in assignments}
    for option in options(tiny()).values():
        if option.name.partition(".")[0] in ("compute", "sampler"):
            continue  # how a run is computed, not what it computes
        forms = ("true", "false") if option.kind is bool else option.choices
        for form in forms:
            is_default = option.parsed(form) == option.value
            assert is_default or f"{option.name}={form}" in measured, f"{option.name}={form}"


def test_the_table_has_differences_seed_by_seed() -> None:
    """Seeds that differ much from each other, changes that do not."""
    made = [result(DEFAULT, seed, value) for seed, value in enumerate((0.5, 0.7))]
    made += [result("gate tanh", seed, value) for seed, value in enumerate((0.49, 0.7))]
    lines = table(made).splitlines()
    assert "| default | 2 | 0.600 ± 0.141 |" in lines
    assert "| gate tanh | 2 | 0.595 ± 0.148 (-0.005 ± 0.007) |" in lines


def test_one_seed_has_no_deviation_and_a_seed_without_default_no_difference() -> None:
    text = table([result(DEFAULT, 0, 0.5), result("one layer", 0, 0.6), result("gate raw", 1, 0.6)])
    assert "| default | 1 | 0.500 |" in text
    assert "| one layer | 1 | 0.600 (+0.100) |" in text
    assert "| gate raw | 1 | 0.600 |" in text


def test_what_changes_no_vector_and_what_is_refused_are_told() -> None:
    same = result("gated fusion", 0, 0.5, vectors=f"{DEFAULT} 0")
    refused = Result(variant="joint order", seed=0, refused="not with this")
    text = table([result(DEFAULT, 0, 0.5), same, refused])
    assert "| gated fusion (without effect) | 1 |" in text
    assert "refused: joint order: not with this" in text


def test_a_result_of_another_config_does_not_count(tmp_path: Path) -> None:
    path = tmp_path / "results" / "default-seed-0.json"
    write(path, result(DEFAULT, 0, 0.5))
    assert read(path, tiny()) == result(DEFAULT, 0, 0.5)
    assert read(path, changed(tiny(), LITERAL)) is None


def test_what_is_kept_is_not_measured_again(tmp_path: Path) -> None:
    """There is no network in this folder to measure on."""
    study = Study(folder=tmp_path, events=tmp_path / "none.jsonl", config=tiny())
    kept = result(DEFAULT, 0, 0.5)
    write(study.path(DEFAULT, 0), kept)
    assert study.result(DEFAULT, 0) == kept
    assert study.kept() == [kept]


def test_an_attempt_that_was_not_evaluated_goes_on_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = Study(folder=tmp_path, events=tmp_path / "none.jsonl", config=tiny())
    runs = []

    def train(config: RunConfig, network: object, seed: int) -> UserVectors:
        runs.append(seed)
        rows, known = np.full((4, 2), seed, np.float32), np.ones(4, np.bool_)
        return UserVectors(graph=rows, image=rows, text=rows, has_image=known, has_text=known)

    monkeypatch.setattr(Study, "network", lambda self: None)
    monkeypatch.setattr("benchmarks.runs.options.trained", train)
    monkeypatch.setattr(Study, "evaluator", lambda self: None)
    with pytest.raises(AttributeError, match="figures"):  # there is no evaluator yet
        study.result(DEFAULT, 3)
    monkeypatch.setattr(Study, "evaluator", lambda self: SumEvaluator())
    assert study.result(DEFAULT, 3).figures == {"sum": 24.0}
    assert study.result(DEFAULT, 3).figures == {"sum": 24.0}
    assert runs == [3]
    assert not list((tmp_path / "vectors").iterdir())


class SumEvaluator:
    def figures(self, R: np.ndarray, views: Mapping[str, Modality]) -> dict[str, float]:
        assert R.shape == (4, 6)
        return {"sum": float(views["text"].vectors.sum())}


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    return judged_network().snapshot


@pytest.fixture(scope="module")
def evaluator(snapshot: Snapshot) -> validation.ValidationEvaluator:
    return validation_evaluator(snapshot)


def test_each_follow_of_the_validation_folds_is_in_one_half_and_no_other_follow_is(
    snapshot: Snapshot, evaluator: validation.ValidationEvaluator
) -> None:
    halves = [follows_of(half.pairs) for half in evaluator.halves]
    assert min(map(len, halves)) > 0
    assert not halves[0] & halves[1]
    held_out = set(map(tuple, snapshot.followees.pairs(VALIDATION_FOLDS).tolist()))
    assert halves[0] | halves[1] <= held_out
    num_left_out = sum(half.pairs.num_without_negatives for half in evaluator.halves)
    assert len(halves[0] | halves[1]) + num_left_out == len(held_out)


def follows_of(pairs: LinkPairs) -> set[tuple[int, ...]]:
    """Followers and followees of the held-out follows."""
    ends = pairs.followers[pairs.follows], pairs.followees[pairs.follows]
    return set(map(tuple, np.stack(ends, axis=1).tolist()))


def test_a_representation_that_knows_the_topics_is_worth_more_than_noise(
    evaluator: validation.ValidationEvaluator,
) -> None:
    rng = np.random.default_rng(0)
    sides = np.array([1.0, -1.0])[judged_network().topics]
    noise = rng.standard_normal((NUM_JUDGED, 6)).astype(np.float32)
    known = np.ones(NUM_JUDGED, np.bool_)
    R = (sides[:, None] + 0.3 * noise).astype(np.float32)
    informed, uninformed = (
        evaluator.figures(rows, {"text": Modality(vectors=rows, has=known)}) for rows in (R, noise)
    )
    assert informed["text alone, uniform"] > 0.6 > uninformed["text alone, uniform"]
    assert informed["R, uniform"] > 0.7 > 0.62 > uninformed["R, uniform"]
    assert informed["topic, F1"] > 0.95
    assert informed["R + counts, uniform"] > 0.65


def test_a_look_is_chosen_by_the_other_half(
    evaluator: validation.ValidationEvaluator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two evaluation points each half prefers another: each is evaluated at the other's."""
    looks = iter([((0.9, 0.9), (0.1, 0.3)), ((0.2, 0.4), (0.8, 0.8))])
    current: list[tuple[float, float]] = []

    def fit(rows: object, is_follow: object, choose: object, *, seed: int) -> None:
        for each in looks:
            current.extend(each)
            choose(None)

    monkeypatch.setattr(validation, "fit_head", fit)
    monkeypatch.setattr(validation, "both_aucs", lambda pairs, scores: current.pop(0))
    monkeypatch.setattr(validation.CountedPairs, "score", lambda *_, **__: None)
    found = evaluator.fans(np.zeros((NUM_JUDGED, 2), np.float32), with_counts=False)
    assert found == pytest.approx(((0.2 + 0.1) / 2, (0.4 + 0.3) / 2))
