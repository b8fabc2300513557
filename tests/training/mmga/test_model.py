import copy
import dataclasses

import numpy as np
import pytest
import torch

from graphdb.folds import HELD_OUT_FOLDS
from tests.training.small_network import (
    small_config,
    small_data,
    small_network,
    with_objectives,
    with_users,
)
from training.engine.step_log import check_finite
from training.errors import NotFinite, NothingToTrain
from training.mmga.batches import GraphBatch
from training.mmga.config import RunConfig
from training.mmga.recipes import paper_literal
from training.mmga.trainer import Trainer
from training.mmga.training_data import training_data
from training.mmga.user_bank import UserBank

CONFIGS: dict[str, RunConfig] = {
    "mutual": small_config(),
    "follows": small_config(edges="follows", signature_width=8),
    "softmax": small_config(gate_normalisation="softmax"),
    "pairwise": with_objectives(small_config(), contrast="pairwise"),
    "paper_literal": paper_literal(small_config()),
    "options": with_users(
        small_config(
            edges="follows+mentions",
            gate_normalisation="tanh",
            per_layer_gates=True,
            fan_outs=(8, 4),
            signature_width=8,
        ),
        post_pooling="attention",
        fusion="gated",
        modality_dropout=0.3,
    ),
}


def moved(trainer: Trainer, number: int) -> set[str]:
    """Names of the parameters that a step changes."""
    before = {name: each.detach().clone() for name, each in trainer.model.named_parameters()}
    trainer.step(number)
    return {
        name
        for name, each in trainer.model.named_parameters()
        if not torch.equal(before[name], each.detach())
    }


@pytest.mark.parametrize("name", CONFIGS)
def test_each_phase_moves_its_own_parameters_and_all_of_them(name: str) -> None:
    config = CONFIGS[name]
    trainer = Trainer(config, small_data(config), seed=0)
    names = {id(each): name for name, each in trainer.model.named_parameters()}
    graph = {names[id(each)] for each in trainer.model.graph_parameters()}
    encoders = {names[id(each)] for each in trainer.model.encoder_parameters()}
    assert graph | encoders == set(names.values())
    assert not graph & encoders
    contrast_heads = {each for each in encoders if each.startswith("contrast_")}
    pooling = {each for each in encoders if each.startswith("pool_")}
    assert moved(trainer, 0) == encoders - contrast_heads - pooling
    # A dead last ReLU may keep its own, and keys wait for a query that is not zero.
    keys = {each for each in pooling if each.endswith("keys.bias")}
    assert encoders - moved(trainer, 4) <= contrast_heads | keys
    assert moved(trainer, 7) == graph


def test_the_losses_of_each_phase_have_their_names() -> None:
    config = small_config()
    trainer = Trainer(config, small_data(config), seed=0)
    posts = {"language_modelling", "alignment", "total"}
    assert set(trainer.step(0)) == posts
    assert set(trainer.step(4)) == posts | {"contrast_image", "contrast_text"}
    assert set(trainer.step(7)) == {"node_feature", "graph_structure", "total"}


def test_frozen_layers_stay_as_they_are_and_run_without_gradient() -> None:
    config = small_config()
    text = dataclasses.replace(config.text, num_layers=3, num_trained_layers=1, dropout=0.1)
    config = dataclasses.replace(
        config, text=text, image=dataclasses.replace(config.image, num_trained_layers=0)
    )
    trainer = Trainer(config, small_data(config), seed=0)
    names = {id(each): name for name, each in trainer.model.named_parameters()}
    encoders = {names[id(each)] for each in trainer.model.encoder_parameters()}
    changed = moved(trainer, 4)
    assert changed <= encoders
    assert {name for name in changed if name.startswith("text.")} == {
        name for name in names.values() if name.startswith("text.bert.encoder.layer.2.")
    }
    assert not any(name.startswith("image.") for name in encoders)
    layers = trainer.model.text.bert.encoder.layer
    assert [layer.training for layer in layers] == [False, False, True]
    assert not trainer.model.image(torch.zeros(2, 3, 16, 16, dtype=torch.uint8)).requires_grad


def secrets(batch: GraphBatch, bank: UserBank, users: torch.Tensor) -> tuple[GraphBatch, UserBank]:
    """The same batch and bank with a value of its own in all that is known of some users."""
    other = dataclasses.replace(
        batch,
        statistics=batch.statistics.index_fill(0, users, 31337.0),
        signature=batch.signature.index_fill(0, users, 31337.0),
    )
    known = bank.read(batch.users[users])
    changed = copy.deepcopy(bank)
    changed.write(
        batch.users[users],
        dataclasses.replace(
            known,
            image=torch.full_like(known.image, 31337.0),
            text=torch.full_like(known.text, 31337.0),
        ),
    )
    return other, changed


@pytest.mark.parametrize("name", ["mutual", "follows", "paper_literal", "options"])
def test_what_is_known_of_a_masked_user_reaches_no_vector(name: str) -> None:
    config = CONFIGS[name]
    trainer = Trainer(config, small_data(config), seed=0)
    trainer.refresh_bank()
    model = trainer.model.eval()
    (batch,) = trainer.draw(7)
    assert isinstance(batch, GraphBatch)
    seeds = int(batch.blocks[-1].num_targets)

    def outputs(batch: GraphBatch, bank: UserBank) -> torch.Tensor:
        nodes = model.node_inputs(bank.read(batch.users), batch.statistics, batch.signature)
        graph = model.graph(nodes, batch.blocks, batch.masked)
        return torch.cat([graph, model.fused(graph, nodes.first(seeds), batch.masked[:seeds])])

    with torch.no_grad():
        before = outputs(batch, trainer.bank)
        masked = torch.nonzero(batch.masked).squeeze(1)
        assert (masked < seeds).any()
        assert torch.equal(before, outputs(*secrets(batch, trainer.bank, masked)))
        shown = torch.nonzero(~batch.masked).squeeze(1)[:1]
        assert not torch.equal(before, outputs(*secrets(batch, trainer.bank, shown)))


@pytest.mark.parametrize("name", ["mutual", "follows", "options"])
def test_training_does_not_depend_on_the_held_out_follows(name: str) -> None:
    """Not through message passing, gates, targets, negatives nor statistics: bit for bit."""
    config = CONFIGS[name]
    snapshot, inputs = small_network()
    assert len(snapshot.graph.followees.pairs(HELD_OUT_FOLDS)) > 50
    without = dataclasses.replace(snapshot, graph=snapshot.graph.without_folds(HELD_OUT_FOLDS))
    states = []
    for each in (snapshot, without):
        trainer = Trainer(config, training_data(each, inputs, config.graph.edges), seed=0)
        for number in range(trainer.num_steps):
            trainer.step(number)
        states.append(trainer.state())
    for key, tensor in states[0].items():
        assert torch.equal(tensor, states[1][key]), key


def test_the_same_seed_trains_the_same_network_and_another_seed_another() -> None:
    config = small_config()
    states = []
    for seed in (0, 0, 1):
        trainer = Trainer(config, small_data(config), seed=seed)
        for number in range(trainer.num_steps):
            trainer.step(number)
        states.append(trainer.state())
    first, again, other = states
    assert all(torch.equal(tensor, again[key]) for key, tensor in first.items())
    assert not torch.equal(first["model.graph.masked_node"], other["model.graph.masked_node"])


def test_held_out_posts_are_judged_alike_twice() -> None:
    config = small_config()
    trainer = Trainer(config, small_data(config, num_users=200), seed=0)
    losses = trainer.held_out_losses()
    assert losses == trainer.held_out_losses()
    assert set(losses) == {"language_modelling", "alignment"}
    assert trainer.model.training


def test_a_graph_without_edges_and_posts_without_words_are_nothing_to_train_on() -> None:
    config = small_config()
    snapshot, inputs = small_network()
    bare = dataclasses.replace(snapshot, graph=snapshot.graph.without_folds(range(100)))
    with pytest.raises(NothingToTrain, match="mutual follows"):
        Trainer(config, training_data(bare, inputs, "mutual"), seed=0)
    silent = dataclasses.replace(inputs, token_counts=np.full_like(inputs.token_counts, 2))
    with pytest.raises(NothingToTrain, match="caption"):
        Trainer(config, training_data(snapshot, silent, "mutual"), seed=0)


def test_posts_without_any_image_train_the_rest() -> None:
    config = small_config()
    snapshot, inputs = small_network()
    blind = dataclasses.replace(inputs, pixel_rows=np.full_like(inputs.pixel_rows, -1))
    trainer = Trainer(config, training_data(snapshot, blind, "mutual"), seed=0)
    losses = [trainer.step(number) for number in range(trainer.num_steps)]
    assert all(float(each["total"]) > 0 for each in losses)
    assert float(losses[4]["alignment"]) == float(losses[4]["contrast_image"]) == 0.0


def test_a_loss_that_is_no_number_stops_the_run() -> None:
    with pytest.raises(NotFinite, match="loss alignment of step 7"):
        check_finite({"total": 1.0, "alignment": float("nan")}, 7)
