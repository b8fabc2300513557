import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from graphdb.adjacency import SnapshotGraph, graph_of_follows
from graphdb.id_column import IdColumn
from tests.training.small_network import small_config, small_network
from training.batches import blocks_of
from training.config import GraphEncoderConfig
from training.gate import NodeInputs
from training.graph_encoder import Block, GatedLayer, GraphEncoder
from training.graph_source import SnapshotSource
from training.neighbourhoods import fixed_draw, neighbourhood, pair_keys, random_draw
from training.recipe import paper_literal

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


def source_of(graph: SnapshotGraph) -> SnapshotSource:
    ids = IdColumn.of(str(number) for number in range(graph.num_nodes))
    snapshot = SimpleNamespace(graph=graph, user_ids=ids, mentions=np.empty((0, 2), np.int32))
    return SnapshotSource(snapshot, "mutual", without_folds=())


def test_hidden_pairs_carry_no_message_in_either_direction() -> None:
    graph = graph_of_follows(
        3, np.array([0, 1, 1, 2]), np.array([1, 0, 2, 1]), np.full(4, 50, np.uint8)
    )
    hidden = pair_keys(np.array([1]), np.array([0]), 3)
    around = neighbourhood(
        source_of(graph),
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
    torch.testing.assert_close(layer(h, block, [weights]), expected)
