"""What a step does: batches ahead, weights, precision, accumulation, records, several ranks."""

import dataclasses
import math
from typing import Any

import pytest
import torch

from tests.training.small_network import small_config, small_data, with_objectives, with_phases
from training.engine.optimiser import optimiser, parameters_of
from training.engine.step_log import StepRecord
from training.errors import ConfigInvalid
from training.mmga.config import RunConfig
from training.mmga.optimisation import step_optimisers
from training.mmga.trainer import Trainer

ALTERNATING = {"phase0": 0, "encoders": 4, "graph": 7}


def with_compute(config: RunConfig, **compute: Any) -> RunConfig:
    return dataclasses.replace(config, compute=dataclasses.replace(config.compute, **compute))


def trainer_of(config: RunConfig, seed: int = 0) -> Trainer:
    return Trainer(config, small_data(config), seed=seed)


def assert_same_state(one: Trainer, other: Trainer) -> None:
    expected, found = one.state(), other.state()
    assert set(expected) == set(found)
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name


CONFIGS = {
    "alternating": small_config(edges="follows"),
    "joint": with_phases(small_config(), order="joint"),
    "uncertainty": with_objectives(small_config(), weighting="uncertainty"),
    "accumulated": with_phases(small_config(), num_microbatches=3),
    "bf16": with_compute(small_config(), precision="bf16"),
}


@pytest.mark.parametrize(
    ("name", "stop"),
    [
        ("alternating", 2),
        ("alternating", 5),
        ("alternating", 8),
        ("joint", 6),
        ("uncertainty", 8),
        ("accumulated", 5),
        ("bf16", 5),
    ],
)
def test_a_run_that_stops_and_resumes_ends_as_one_whose_batches_were_never_ahead(
    name: str, stop: int
) -> None:
    config = CONFIGS[name]
    whole = trainer_of(with_compute(config, num_ahead=0))
    for _ in whole.steps(0):
        pass
    stopped = trainer_of(config)
    for record in stopped.steps(0):
        if record.number == stop - 1:
            break
    resumed = trainer_of(config)
    resumed.load(stopped.state())
    numbers = [record.number for record in resumed.steps(stop)]
    assert numbers == list(range(stop, whole.num_steps))
    assert_same_state(whole, resumed)


def test_a_joint_step_moves_everything_by_all_objectives() -> None:
    trainer = trainer_of(CONFIGS["joint"])
    records = list(trainer.steps(0))
    assert [record.phase for record in records] == ["phase0"] * 4 + ["joint"] * 6
    assert set(records[0].learning_rates) == {"encoders"}
    assert set(records[4].learning_rates) == {"encoders", "graph"}
    assert set(records[4].losses) == {
        "language_modelling",
        "alignment",
        "contrast_image",
        "contrast_text",
        "node_feature",
        "graph_structure",
        "total",
    }
    initial = trainer_of(CONFIGS["joint"]).model.state_dict()
    for name, parameter in trainer.model.named_parameters():
        assert not torch.equal(parameter, initial[name]), name


def records_of(config: RunConfig, *numbers: int) -> list[StepRecord]:
    found = {record.number: record for record in trainer_of(config).steps(0)}
    return [found[number] for number in numbers]


def test_a_record_tells_the_gradient_of_each_term_every_so_many_steps() -> None:
    config = with_compute(small_config(), num_steps_per_gradient_norm=4)
    measured, bare, graph = records_of(config, 4, 5, 8)
    assert set(measured.gradient_norms) == set(measured.losses)
    assert set(bare.gradient_norms) == {"total"}
    assert set(graph.gradient_norms) == {"node_feature", "graph_structure", "total"}
    for record in (measured, graph):
        norms = {name: float(norm) for name, norm in record.gradient_norms.items()}
        total = norms.pop("total")
        assert all(norm > 0 for norm in norms.values())
        # Lengths of vectors whose sum is the whole gradient.
        assert max(norms.values()) - (sum(norms.values()) - max(norms.values())) <= total * 1.0001
        assert total <= sum(norms.values()) * 1.0001
    assert float(graph.staleness) > 0 if graph.staleness is not None else False


def test_measuring_gradients_changes_nothing() -> None:
    never, always = (
        trainer_of(with_compute(small_config(), num_steps_per_gradient_norm=every))
        for every in (0, 1)
    )
    for trainer in (never, always):
        list(trainer.steps(0))
    assert_same_state(never, always)


def test_the_total_is_the_weighed_sum_and_a_weight_of_zero_leaves_a_term_out() -> None:
    config = with_objectives(
        small_config(), weight_lm=0.0, weight_alignment=0.5, weight_contrast=2.0
    )
    trainer = trainer_of(config)
    before = {name: each.detach().clone() for name, each in trainer.model.named_parameters()}
    losses = {name: float(loss) for name, loss in trainer.step(4).items()}
    expected = 0.5 * losses["alignment"] + 2 * (losses["contrast_image"] + losses["contrast_text"])
    assert losses["total"] == pytest.approx(expected)
    assert losses["language_modelling"] > 0
    for name, parameter in trainer.model.named_parameters():
        if name.startswith("masked_language_modelling"):
            assert torch.equal(parameter, before[name])


def with_frozen_encoders(config: RunConfig) -> RunConfig:
    frozen = {
        part: dataclasses.replace(getattr(config, part), num_trained_layers=0)
        for part in ("text", "image")
    }
    return dataclasses.replace(config, **frozen)


def test_a_phase_with_nothing_to_move_is_refused() -> None:
    frozen = with_frozen_encoders(with_phases(small_config(), num_phase0_steps=0))
    contrast_alone = with_objectives(frozen, weight_lm=0.0, weight_alignment=0.0)
    with pytest.raises(ConfigInvalid, match="phase encoders has nothing to move"):
        trainer_of(contrast_alone)
    for config in (frozen, with_objectives(contrast_alone, contrast="pairwise")):
        trainer_of(config).step(0)


def test_the_rate_of_pretrained_layers_is_told_beside_that_of_the_others() -> None:
    phases = with_phases(small_config()).phases
    fast, slow = (torch.nn.Parameter(torch.zeros(2, 2)) for _ in range(2))
    chosen = optimiser([fast, slow], 1e-2, 0.0, pretrained=[slow], pretrained_learning_rate=1e-4)
    (fast.sum() + slow.sum()).backward()
    _, rates = step_optimisers({"encoders": chosen}, phases, 0)
    assert rates["pretrained"] == pytest.approx(rates["encoders"] / 100)


def test_a_phase_whose_terms_all_weigh_nothing_is_refused() -> None:
    config = with_objectives(small_config(), weight_node_feature=0.0, weight_graph_structure=0.0)
    with pytest.raises(ConfigInvalid, match="phase graph has no objective"):
        trainer_of(config)


def test_uncertainty_weights_begin_as_configured_and_follow_the_loss() -> None:
    """The best s = log sigma^2 of a loss L is log 2 L: small losses gain weight."""
    config = with_objectives(
        with_phases(small_config(), num_encoder_steps=25, encoder_learning_rate=0.1),
        weighting="uncertainty",
    )
    trainer = trainer_of(config)
    first = {name: float(loss) for name, loss in trainer.step(4).items()}
    s = {name: -math.log(weight) for name, weight in (("alignment", 1.0), ("contrast_text", 3.0))}
    fixed = trainer_of(with_objectives(config, weighting="fixed")).step(4)
    half_logs = (2 * s["alignment"] + 2 * s["contrast_text"]) / 2
    assert first["total"] == pytest.approx(float(fixed["total"]) + half_logs, rel=1e-5)
    list(trainer.steps(4))
    variances = {
        name.removeprefix("weighting.log_variances."): float(value)
        for name, value in trainer.state().items()
        if name.startswith("weighting.")
    }
    assert set(variances) == {*first, "node_feature", "graph_structure"} - {"total"}
    assert variances["contrast_text"] > s["contrast_text"]
    assert variances["language_modelling"] > 0.2


def test_a_step_of_microbatches_is_the_mean_of_its_batches() -> None:
    config = with_phases(small_config(), num_microbatches=2, max_gradient_norm=1e9)
    trainer = trainer_of(config)
    batches = [trainer.draw(0, number) for number in range(2)]
    assert not torch.equal(batches[0][0].posts.lm_tokens, batches[1][0].posts.lm_tokens)
    totals = []
    for batch in batches:
        losses = trainer.model(batch[0], trainer.bank)
        totals.append(losses["language_modelling"] + losses["alignment"])
    mean = sum(totals) / 2
    expected = torch.autograd.grad(mean, list(trainer.model.text.parameters()))
    record = next(iter(trainer.steps(0)))
    assert float(record.losses["total"]) == pytest.approx(float(mean.detach()))
    found = [each.grad for each in trainer.model.text.parameters()]
    for one, other in zip(expected, found, strict=True):
        torch.testing.assert_close(one, other)


def test_half_precision_stays_near_full_and_keeps_weights_whole() -> None:
    full, half = (
        [record.losses for record in trainer_of(config).steps(0)]
        for config in (small_config(), CONFIGS["bf16"])
    )
    for one, other in zip(full, half, strict=True):
        for name, loss in one.items():
            assert float(other[name]) == pytest.approx(float(loss), rel=0.05), name
    assert all(
        tensor.dtype != torch.bfloat16 for tensor in trainer_of(CONFIGS["bf16"]).state().values()
    )


def test_frozen_parameters_are_in_no_optimiser() -> None:
    config = small_config()
    trainer = trainer_of(config)
    frozen = list(trainer.model.image.parameters())
    for parameter in frozen:
        parameter.requires_grad = False
    moved = parameters_of(optimiser(trainer.weighted.parameters_of("encoders"), 1e-3, 0.0))
    assert moved
    assert not {id(each) for each in moved} & {id(each) for each in frozen}
