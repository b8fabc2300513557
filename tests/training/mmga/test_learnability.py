"""Each objective alone: fifty steps beat the best constant on held-out data, and reach their own.

Held out is a whole other network of the same rules. The best constant is the best that a predictor
can do that does not look at its input, and it is told the held-out data: unigram entropy (language
modelling), ln of the number of candidates (InfoNCE), the entropy of the share of connected pairs
(pairs), the best value of each feature (Huber), the best direction (cosine).
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import huber_loss

from tests.training.learnable_network import Shuffled, learnable_data
from tests.training.small_network import small_config
from training.mmga.batches import EncoderBatch, GraphBatch, UserBatch
from training.mmga.config import RunConfig
from training.mmga.objectives.node_features import COSINE_POWER
from training.mmga.trainer import Trainer
from training.mmga.user_bank import UserBank
from training.mmga.user_vectors import refill

NUM_STEPS = 50
NUM_HELD_OUT_BATCHES = 8

Constant = Callable[[Trainer, list[Any], UserBank], float]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """One objective alone: its phase, its weight, what shuffles it, and what it is measured by."""

    term: str
    phase: str
    weight: str
    shuffled: Shuffled
    constant: Constant
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    reaches: tuple[str, ...]


def config_of(case: Case) -> RunConfig:
    """A run of that phase alone, of captions' means: [CLS] takes the pairwise form longer."""
    small = small_config(edges="follows")
    names = ("lm", "alignment", "contrast", "node_feature", "graph_structure")
    none = {f"weight_{name}": 0.0 for name in names}
    steps = {"phase0": 0, "encoders": 0, "graph": 0} | {case.phase: NUM_STEPS}
    return dataclasses.replace(
        small,
        text=dataclasses.replace(small.text, pooling="mean"),
        objectives=dataclasses.replace(
            small.objectives, **none | {f"weight_{case.weight}": 1.0} | case.options
        ),
        phases=dataclasses.replace(
            small.phases,
            num_phase0_steps=steps["phase0"],
            num_rounds=1,
            num_encoder_steps=steps["encoders"],
            num_graph_steps=steps["graph"],
            num_lm_posts=32,
            num_alignment_pairs=32,
            num_contrast_pairs=32,
            num_bank_negatives=0,
            num_edge_targets=256,
            encoder_learning_rate=1e-2,
            graph_learning_rate=1e-2,
        ),
    )


def trained(case: Case, shuffled: Shuffled) -> Trainer:
    config = config_of(case)
    trainer = Trainer(config, learnable_data(config, 0, shuffled), seed=0)
    for _ in trainer.steps(0):
        pass
    return trainer


def held_out(case: Case, shuffled: Shuffled) -> tuple[float, float]:
    """The loss on another network, and that of the best constant."""
    trainer = trained(case, shuffled)
    config = trainer.config
    other = Trainer(config, learnable_data(config, 1, shuffled), seed=1)
    model = trainer.model.eval()
    bank = other.bank
    refill(bank, model, other.data)
    batches = [other.draw(number)[0] for number in range(NUM_HELD_OUT_BATCHES)]
    with torch.no_grad():
        losses = [float(model(batch, bank)[case.term]) for batch in batches]
        return float(np.mean(losses)), case.constant(trainer, batches, bank)


def unigram_entropy(trainer: Trainer, batches: list[EncoderBatch], bank: UserBank) -> float:
    """Of the targets, smoothed as the loss smooths them."""
    options = trainer.config.objectives
    tokens = []
    for batch in batches:
        if options.language_modelling == "causal":
            following = batch.posts.lm_tokens[:, 1:]
            tokens.append(following[following >= trainer.config.text.num_special])
        else:
            tokens.append(batch.posts.lm_tokens[batch.posts.lm_targets])
    size, smoothing = trainer.config.text.vocabulary_size, options.lm_label_smoothing
    shares = torch.bincount(torch.cat(tokens), minlength=size).double()
    mixed = (1 - smoothing) * shares / shares.sum() + smoothing / size
    return float(-(mixed * mixed.log()).sum())


def log_pairs(trainer: Trainer, batches: list[EncoderBatch], bank: UserBank) -> float:
    """Every caption of the batch alike; no two of these posts are twins."""
    return float(np.mean([np.log(len(batch.posts.caption_hashes)) for batch in batches]))


def log_candidates(trainer: Trainer, batches: list[EncoderBatch], bank: UserBank) -> float:
    """Every candidate of a seed alike: its partner and its negatives."""
    values = [
        torch.log(1.0 + negatives.sum(1)).mean()
        for users in users_of(batches)
        for negatives in (users.negatives, users.negatives_back)
    ]
    return float(torch.stack(values).mean())


def users_of(batches: list[EncoderBatch]) -> list[UserBatch]:
    return [batch.users for batch in batches if batch.users is not None]


def pair_entropy(trainer: Trainer, batches: list[Any], bank: UserBank) -> float:
    """Of the share of connected pairs."""
    shares = []
    for batch in batches:
        if isinstance(batch, GraphBatch):
            shares.append(float(batch.connected.mean()))
        else:
            num_negatives = float(batch.users.negatives.any(1).sum())
            shares.append(len(batch.users.sources) / (len(batch.users.sources) + num_negatives))
    share = np.array(shares)
    return float(-(share * np.log(share) + (1 - share) * np.log(1 - share)).mean())


def masked_statistics(trainer: Trainer, batches: list[GraphBatch], bank: UserBank) -> Tensor:
    rows = []
    for batch in batches:
        nodes = trainer.model.node_inputs(bank.read(batch.users), batch.statistics, batch.signature)
        seeds = torch.arange(len(batch.users)) < int(torch.cat([batch.u, batch.v]).max()) + 1
        rows.append(nodes.statistics[seeds & batch.masked])
    return torch.cat(rows)


def best_values(trainer: Trainer, batches: list[GraphBatch], bank: UserBank) -> float:
    """The least Huber loss of one value a feature, found on a grid."""
    targets = masked_statistics(trainer, batches, bank)
    grid = torch.linspace(-3, 3, 601)[:, None, None]
    errors = huber_loss(
        grid.expand(-1, *targets.shape), targets.expand(601, -1, -1), reduction="none"
    )
    return float(errors.mean(1).min(0).values.mean())


def best_direction(trainer: Trainer, batches: list[GraphBatch], bank: UserBank) -> float:
    """The least cosine error of one row, found by descent from several starts."""
    targets = torch.nn.functional.normalize(masked_statistics(trainer, batches, bank), dim=1)
    rows = torch.cat([targets, torch.nn.functional.normalize(torch.randn(500, targets.shape[1]))])
    return float(((1 - rows @ targets.T) ** COSINE_POWER).mean(1).min())


CASES = {
    "masked language modelling": Case(
        term="language_modelling",
        phase="phase0",
        weight="lm",
        shuffled=Shuffled(words=True),
        constant=unigram_entropy,
        reaches=("text.", "masked_language_modelling."),
    ),
    "causal language modelling": Case(
        term="language_modelling",
        phase="phase0",
        weight="lm",
        shuffled=Shuffled(words=True),
        constant=unigram_entropy,
        options={"language_modelling": "causal"},
        reaches=("text.", "causal_language_modelling."),
    ),
    "image-text alignment": Case(
        term="alignment",
        phase="phase0",
        weight="alignment",
        shuffled=Shuffled(colours=True),
        constant=log_pairs,
        reaches=("text.", "image.", "image_text_alignment."),
    ),
    "contrast on image": Case(
        term="contrast_image",
        phase="encoders",
        weight="contrast",
        shuffled=Shuffled(colours=True),
        constant=log_candidates,
        reaches=("image.",),
    ),
    "contrast on text": Case(
        term="contrast_text",
        phase="encoders",
        weight="contrast",
        shuffled=Shuffled(words=True),
        constant=log_candidates,
        reaches=("text.",),
    ),
    "pairwise contrast on image": Case(
        term="contrast_image",
        phase="encoders",
        weight="contrast",
        shuffled=Shuffled(colours=True),
        constant=pair_entropy,
        options={"contrast": "pairwise"},
        reaches=("image.", "contrast_image."),
    ),
    "pairwise contrast on text": Case(
        term="contrast_text",
        phase="encoders",
        weight="contrast",
        shuffled=Shuffled(words=True),
        constant=pair_entropy,
        options={"contrast": "pairwise"},
        reaches=("text.", "contrast_text."),
    ),
    "literal contrast on image": Case(
        term="contrast_image",
        phase="encoders",
        weight="contrast",
        shuffled=Shuffled(colours=True),
        constant=pair_entropy,
        options={"contrast": "paper_literal"},
        reaches=("image.", "contrast_image."),
    ),
    "literal contrast on text": Case(
        term="contrast_text",
        phase="encoders",
        weight="contrast",
        shuffled=Shuffled(words=True),
        constant=pair_entropy,
        options={"contrast": "paper_literal"},
        reaches=("text.", "contrast_text."),
    ),
    "node feature modelling": Case(
        term="node_feature",
        phase="graph",
        weight="node_feature",
        shuffled=Shuffled(statistics=True),
        constant=best_values,
        reaches=("graph.", "node_feature_modelling."),
    ),
    "node feature modelling by cosine": Case(
        term="node_feature",
        phase="graph",
        weight="node_feature",
        shuffled=Shuffled(statistics=True),
        constant=best_direction,
        options={"node_feature_loss": "scaled_cosine"},
        reaches=("graph.", "node_feature_modelling."),
    ),
    "graph structure modelling": Case(
        term="graph_structure",
        phase="graph",
        weight="graph_structure",
        shuffled=Shuffled(follows=True),
        constant=pair_entropy,
        reaches=("graph.", "graph_structure_modelling."),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_fifty_steps_beat_the_best_constant_on_a_network_that_was_held_out(name: str) -> None:
    loss, constant = held_out(CASES[name], Shuffled())
    assert loss < 0.95 * constant


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_with_pairs_or_targets_shuffled_they_do_not(name: str) -> None:
    loss, constant = held_out(CASES[name], CASES[name].shuffled)
    # Of follows at random degrees still tell a little: half of the negatives are uniform.
    assert loss > 0.96 * constant


@pytest.mark.parametrize("name", CASES)
def test_the_gradient_of_an_objective_reaches_its_own_parameters_alone(name: str) -> None:
    case = CASES[name]
    config = config_of(case)
    trainer = Trainer(config, learnable_data(config, 0, Shuffled()), seed=0)
    trainer.refresh_bank()
    loss = trainer.model(trainer.draw(0)[0], trainer.bank)[case.term]
    parameters = dict(trainer.model.named_parameters())
    found = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    reached = {name for name, each in zip(parameters, found, strict=True) if each is not None}
    assert reached == {name for name in parameters if name.startswith(case.reaches)}
    for part in case.reaches:
        own = [each for name, each in zip(parameters, found, strict=True) if name.startswith(part)]
        assert any(bool(each.any()) for each in own if each is not None), part
