"""Vectors that are all alike and losses at chance are named; sound ones are not."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import nn

from tests.training.learnable_network import Shuffled, learnable_data
from tests.training.small_network import small_config, small_data, with_phases
from training.mmga.collapse import findings, mean_cosine
from training.mmga.trainer import Trainer

RNG = np.random.default_rng(0)
SOUND = RNG.normal(size=(200, 16))
COLLAPSED = {
    "to a point": SOUND * 1e-3 + 1.0,
    "to a line": SOUND[:, :1] * np.ones((1, 16)),
    "not finite": np.where(SOUND > 2, np.nan, SOUND),
}


@pytest.mark.parametrize("how", COLLAPSED)
def test_vectors_that_have_collapsed_are_named_with_figures_and_a_remedy(how: str) -> None:
    (found,) = findings({"image": COLLAPSED[how], "text": SOUND}, {}, {})
    assert str(found).startswith("image vectors")
    assert how in found.subject
    assert found.measured
    assert found.remedy


def test_sound_vectors_and_one_alone_are_not_named() -> None:
    assert findings({"image": SOUND, "text": SOUND + 2, "graph": SOUND[:1]}, {}, {}) == ()


def test_a_loss_at_chance_is_named_and_one_below_is_not() -> None:
    chance = {"contrast_image": math.log(32), "contrast_text": math.log(32), "alignment": 0.0}
    losses = {"contrast_image": 3.46, "contrast_text": 3.2, "alignment": 0.0, "total": 9.0}
    (found,) = findings({}, losses, chance)
    assert str(found).startswith("contrast image has learnt nothing: its loss is 3.4600")


def test_the_mean_cosine_leaves_each_vector_itself_out() -> None:
    assert mean_cosine(np.eye(5)) == pytest.approx(0.0)
    assert mean_cosine(np.ones((5, 3))) == pytest.approx(1.0)
    assert mean_cosine(np.array([[1.0, 0.0], [-1.0, 0.0]])) == pytest.approx(-1.0)
    assert mean_cosine(np.zeros((4, 2))) == 0.0


def learnable_trainer(**phases: int) -> Trainer:
    config = with_phases(
        small_config(edges="follows"),
        num_phase0_steps=0,
        num_rounds=1,
        num_contrast_pairs=32,
        encoder_learning_rate=1e-2,
        **phases,
    )
    text = dataclasses.replace(config.text, pooling="mean")
    config = dataclasses.replace(config, text=text)
    return Trainer(config, learnable_data(config, 0, Shuffled()), seed=0)


def test_a_run_that_learns_has_no_findings_at_the_end_of_its_stages() -> None:
    trainer = learnable_trainer(num_encoder_steps=30, num_graph_steps=30)
    records = list(trainer.steps(0))
    ends = {29: (), 59: ()}
    assert [each.findings for each in records] == [ends.get(number) for number in range(60)]


def constant(encoder: nn.Module) -> None:
    """Make an encoder give every input the same vector."""
    encoder.register_forward_hook(lambda _module, _inputs, vectors: vectors * 0 + 1)


def test_an_encoder_that_gives_all_images_one_vector_is_found_at_the_end_of_the_stage() -> None:
    trainer = learnable_trainer(num_encoder_steps=3, num_graph_steps=0)
    constant(trainer.model.image)
    last = list(trainer.steps(0))[-1]
    subjects = {finding.partition(":")[0] for finding in last.findings}
    assert "image vectors have collapsed to a point" in subjects
    assert "contrast image has learnt nothing" in subjects
    assert not any(subject.startswith("text") for subject in subjects)


def test_chance_is_the_loss_of_an_encoder_that_gives_all_posts_one_vector() -> None:
    """So no user or repost that is no negative, and no stale vector, is counted wrongly."""
    config = with_phases(small_config(), num_phase0_steps=0, num_bank_negatives=16)
    trainer = Trainer(config, small_data(config), seed=0)
    constant(trainer.model.image)
    trainer.refresh_bank()
    last = [record for record in trainer.steps(0) if record.phase == "encoders"][-1]
    (found,) = [each for each in last.findings if each.startswith("contrast image")]
    loss, chance = (
        float(word.strip(",")) for word in found.partition(";")[0].split() if "." in word
    )
    assert loss == pytest.approx(chance, abs=2e-4)


def test_judging_changes_nothing_that_a_later_step_depends_on() -> None:
    config = small_config()
    judged, not_judged = (Trainer(config, small_data(config), seed=0) for _ in range(2))
    for _ in judged.steps(0):
        pass
    for number in range(not_judged.num_steps):
        not_judged.step(number)
    for name, tensor in not_judged.state().items():
        assert torch.equal(judged.state()[name], tensor), name
