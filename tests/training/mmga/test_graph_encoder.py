import dataclasses

import numpy as np
import pytest
import torch

from tests.training.small_network import small_config, small_network
from tests.training.snapshots import build_snapshot
from training.mmga.batches import blocks_of
from training.mmga.config import GraphEncoderConfig
from training.mmga.graph_encoder import (
    Block,
    GatedLayer,
    GraphEncoder,
    degree_products,
    drawn_degrees,
)
from training.mmga.message_gate import NodeInputs
from training.mmga.recipes import paper_literal
from training.sampling.neighbourhoods import fixed_draw, neighbourhood, pair_keys, random_draw
from training.sampling.snapshot_source import SnapshotSource

NUM_FEATURES = 16


def make_encoder(config: GraphEncoderConfig) -> GraphEncoder:
    torch.manual_seed(0)
    return GraphEncoder(config, num_features=NUM_FEATURES, image_width=8, text_width=8).eval()


def nodes_of(users: np.ndarray, signature_width: int = 0) -> NodeInputs:
    """Inputs that depend on the user alone."""
    generator = torch.Generator().manual_seed(3)
    values = torch.randn(60, NUM_FEATURES + 16 + signature_width, generator=generator)[users]
    return NodeInputs(
        statistics=values[:, :NUM_FEATURES],
        image=values[:, NUM_FEATURES : NUM_FEATURES + 8],
        text=values[:, NUM_FEATURES + 8 : NUM_FEATURES + 16],
        has_image=torch.from_numpy(users % 3 > 0),
        has_text=torch.from_numpy(users % 7 > 0),
        signature=values[:, NUM_FEATURES + 16 :],
    )


CONFIGS = {
    "mutual": small_config().graph,
    "follows": small_config(edges="follows").graph,
    "signature": small_config(edges="follows", signature_width=8).graph,
    "softmax": small_config(gate_normalisation="softmax").graph,
    "three hops": small_config(fan_outs=(4, 3, 2)).graph,
    "X alone": small_config(node_features="X").graph,
    "tanh": small_config(gate_normalisation="tanh").graph,
    "tanh, follows": small_config(gate_normalisation="tanh", edges="follows").graph,
    "mutual+mentions": small_config(edges="mutual+mentions", gate_normalisation="tanh").graph,
    "follows+mentions": small_config(edges="follows+mentions").graph,
    "one weight": small_config(edges="follows+mentions", per_relation_gates=False).graph,
    "per layer": small_config(per_layer_gates=True, fan_outs=(4, 3, 2)).graph,
    "paper_literal": paper_literal(small_config()).graph,
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_user_vector_does_not_depend_on_the_batch(name: str) -> None:
    config = CONFIGS[name]
    encoder = make_encoder(config)
    edges = SnapshotSource(small_network()[0], config.edges, without_folds=())

    def encode(seeds: list[int]) -> torch.Tensor:
        around = neighbourhood(edges, np.array(seeds), config.fan_outs, fixed_draw(b"salt"))
        nodes = nodes_of(around.users, config.signature_width)
        return encoder(nodes, blocks_of(around))

    with torch.no_grad():
        together = encode([4, 9, 30, 2])
        alone = torch.cat([encode([4]), encode([9]), encode([30]), encode([2])])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_masked_node_shows_neither_features_nor_modalities(name: str) -> None:
    config = CONFIGS[name]
    encoder = make_encoder(config)
    edges = SnapshotSource(small_network()[0], config.edges, without_folds=())
    around = neighbourhood(edges, np.arange(10), config.fan_outs, fixed_draw(b"salt"))
    nodes = nodes_of(around.users, config.signature_width)
    masked = torch.arange(len(around.users)) == 5
    secret = {
        name: getattr(nodes, name).index_fill(0, torch.tensor([5]), 777.0)
        for name in ("statistics", "image", "text", "signature")
    }
    blocks = blocks_of(around)
    with torch.no_grad():
        before = encoder(nodes, blocks, masked)
        after = encoder(dataclasses.replace(nodes, **secret), blocks, masked)
        unmasked = encoder(dataclasses.replace(nodes, **secret), blocks)
    assert torch.equal(before, after)
    assert not torch.allclose(before, unmasked)


def test_hidden_pairs_carry_no_message_in_either_direction() -> None:
    follows = np.array([0, 1, 1, 2]), np.array([1, 0, 2, 1])
    snapshot = build_snapshot(["a", "b", "c"], follows)
    hidden = pair_keys(np.array([1]), np.array([0]), 3)
    around = neighbourhood(
        SnapshotSource(snapshot, "mutual", without_folds=()),
        np.array([0, 1]),
        (5, 5),
        random_draw(np.random.default_rng(0)),
        hidden_pairs=hidden,
    )
    for layer in around.layers:
        ends = around.users[layer.neighbours[0]], around.users[layer.targets[0]]
        assert {frozenset(pair) for pair in zip(*map(np.ndarray.tolist, ends), strict=True)} <= {
            frozenset((1, 2))
        }


def test_random_neighbourhoods_hold_edges_of_the_graph_alone_and_respect_the_fan_out() -> None:
    graph = small_network()[0].graph
    adjacency = graph.followees
    source = SnapshotSource(small_network()[0], "follows", without_folds=())
    around = neighbourhood(source, np.array([3, 8]), (4, 2), random_draw(np.random.default_rng(0)))
    assert around.users[:2].tolist() == [3, 8]
    assert len(set(around.users.tolist())) == len(around.users)
    for layer, fan_out in zip(around.layers, (2, 4), strict=True):
        assert np.bincount(layer.targets[0]).max() <= fan_out
        assert layer.targets[0].max() < layer.num_targets
        targets, neighbours = around.users[layer.targets[0]], around.users[layer.neighbours[0]]
        assert adjacency.contains(targets, neighbours).all()


def test_the_literal_layer_is_equation_six() -> None:
    layer = GatedLayer(paper_literal(small_config()).graph, activate=True)
    h = torch.arange(6.0).reshape(3, 2)
    block = Block(
        num_targets=2, neighbours=[torch.tensor([2, 0, 2])], targets=[torch.tensor([0, 1, 1])]
    )
    weights = torch.tensor([0.5, 2.0, -1.0])
    expected = torch.stack([h[0] + 0.5 * h[2], h[1] + 2.0 * h[0] - 1.0 * h[2]])
    torch.testing.assert_close(layer(h, layer.messages(h), block, [weights]), expected)


def test_degrees_are_those_of_the_edges_drawn_and_of_the_reverse_relation() -> None:
    outer = Block(  # three targets; the second follows two, and three follow the third
        num_targets=3,
        neighbours=[torch.tensor([0, 3]), torch.tensor([0, 1, 3])],
        targets=[torch.tensor([1, 1]), torch.tensor([2, 2, 2])],
    )
    inner = Block(  # the first follows the second and the third, and the second follows the first
        num_targets=1,
        neighbours=[torch.tensor([1, 2]), torch.tensor([1])],
        targets=[torch.tensor([0, 0]), torch.tensor([0])],
    )
    follows, followers = degree_products(inner, drawn_degrees(outer), (1, 0))
    assert follows.tolist() == [2 * 1, 2 * 3]
    assert followers.tolist() == [1 * 2]
    outermost, _ = degree_products(outer, (), (1, 0))
    assert outermost.tolist() == [4, 4]


@pytest.mark.parametrize(
    ("edges", "reverse"),
    [
        ("mutual", (0,)),
        ("follows", (1, 0)),
        ("mutual+mentions", (0, 2, 1)),
        ("follows+mentions", (1, 0, 3, 2)),
    ],
)
def test_every_relation_has_its_reverse(edges: str, reverse: tuple[int, ...]) -> None:
    config = small_config(edges=edges).graph
    assert config.reverse_relations == reverse
    assert len(reverse) == config.num_relations


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_a_tanh_gate_can_push_neighbours_away_and_weighs_each_of_many_less(sign: float) -> None:
    encoder = make_encoder(small_config(gate_normalisation="tanh").graph)
    block = Block(
        num_targets=2,
        neighbours=[torch.tensor([2, 3, 4, 5, 6])],
        targets=[torch.tensor([0, 1, 1, 1, 1])],
    )
    terms = encoder.gate.terms(nodes_of(np.arange(8)), torch.zeros(8, dtype=torch.bool))
    with torch.no_grad():
        encoder.gate.output.bias.fill_(sign * 1000.0)  # every tanh is at its end
        (weights,) = encoder._weights(encoder.gate, terms, block, ())
    assert weights.tolist() == [sign, *[sign / 4] * 4]


def test_each_layer_has_its_own_gate_where_asked() -> None:
    shared, own = (
        make_encoder(small_config(per_layer_gates=each, fan_outs=(4, 3, 2)).graph)
        for each in (False, True)
    )
    assert len(shared.later_gates) == 0
    assert len(own.later_gates) == 2
    source = SnapshotSource(small_network()[0], "mutual", without_folds=())
    around = neighbourhood(source, np.arange(5), (4, 3, 2), fixed_draw(b"salt"))
    blocks = blocks_of(around)
    before = own(nodes_of(around.users), blocks)
    with torch.no_grad():
        own.later_gates[1].output.bias.add_(1.0)
    assert not torch.allclose(before, own(nodes_of(around.users), blocks))
    own(nodes_of(around.users), blocks).sum().backward()
    assert all(gate.output.weight.grad.abs().sum() > 0 for gate in (own.gate, *own.later_gates))


def test_a_pair_has_a_weight_a_relation_or_one_for_all() -> None:
    block = Block(
        num_targets=1, neighbours=[torch.tensor([1])] * 4, targets=[torch.tensor([0])] * 4
    )
    for own in (True, False):
        encoder = make_encoder(small_config(edges="follows+mentions", per_relation_gates=own).graph)
        terms = encoder.gate.terms(nodes_of(np.arange(2)), torch.zeros(2, dtype=torch.bool))
        weights = encoder._weights(encoder.gate, terms, block, ())
        assert len({float(each.detach()) for each in weights}) == (4 if own else 1)


@pytest.mark.parametrize("edges", ["mutual+mentions", "follows+mentions"])
def test_a_mention_is_a_message_with_a_weight_of_its_own(edges: str) -> None:
    config = small_config(edges=edges).graph
    encoder = make_encoder(config)
    source = SnapshotSource(small_network()[0], config.edges, without_folds=())
    around = neighbourhood(source, np.arange(20), config.fan_outs, fixed_draw(b"salt"))
    nodes, blocks = nodes_of(around.users), blocks_of(around)
    first = source.num_follow_relations
    assert sum(len(targets) for targets in blocks[-1].targets[first:]) > 0
    with torch.no_grad():
        before = encoder(nodes, blocks)
        encoder.gate.output.bias[first:] -= 100.0  # sigmoid: weight 0
        closed = encoder(nodes, blocks)
        encoder.layers[0].maps[first].weight.mul_(2.0)
        encoder.layers[1].maps[first].weight.mul_(2.0)
        unheard = encoder(nodes, blocks)
    assert not torch.allclose(before, closed)
    torch.testing.assert_close(closed, unheard)
