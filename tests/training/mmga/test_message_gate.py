import dataclasses

import pytest
import torch

from tests.training.small_network import small_config
from training.mmga.config import GraphEncoderConfig
from training.mmga.message_gate import MessageGate, NodeInputs, normalise
from training.mmga.recipes import paper_literal, recipe

NUM_FEATURES = 4
WIDTH = 6


def make_gate(config: GraphEncoderConfig) -> MessageGate:
    torch.manual_seed(0)
    return MessageGate(config, num_features=NUM_FEATURES, image_width=WIDTH, text_width=WIDTH)


def make_nodes(num_nodes: int = 6) -> NodeInputs:
    generator = torch.Generator().manual_seed(1)
    return NodeInputs(
        statistics=torch.randn(num_nodes, NUM_FEATURES, generator=generator),
        image=torch.randn(num_nodes, WIDTH, generator=generator),
        text=torch.randn(num_nodes, WIDTH, generator=generator),
        has_image=torch.ones(num_nodes, dtype=torch.bool),
        has_text=torch.ones(num_nodes, dtype=torch.bool),
        signature=torch.zeros(num_nodes, 0),
    )


def gap_between_neighbours(gate: MessageGate, target: int) -> float:
    """Score of neighbour 2 minus score of neighbour 3, seen from a target."""
    neighbours, targets = torch.tensor([2, 3]), torch.tensor([target, target])
    nobody = torch.zeros(6, dtype=torch.bool)
    scores = gate(gate.terms(make_nodes(), nobody), neighbours, targets)
    return float((scores[0, 0] - scores[1, 0]).detach())


@pytest.mark.parametrize("edges", ["mutual", "follows", "follows+mentions"])
def test_the_weight_of_a_neighbour_depends_on_who_looks(edges: str) -> None:
    gate = make_gate(small_config(edges=edges).graph)
    assert abs(gap_between_neighbours(gate, 0) - gap_between_neighbours(gate, 1)) > 1e-4


@pytest.mark.parametrize("literal", [False, True])
def test_the_concatenation_of_the_paper_ranks_neighbours_alike_for_everyone(literal: bool) -> None:
    config = dataclasses.replace(small_config().graph, gate_input="concat", literal_gate=literal)
    gate = make_gate(config)
    gaps = [gap_between_neighbours(gate, target) for target in (0, 1)]
    assert gaps[0] == pytest.approx(gaps[1], abs=1e-5)


@pytest.mark.parametrize(
    "config",
    [small_config().graph, paper_literal(recipe("tiny")).graph],
    ids=["default", "paper_literal"],
)
def test_nothing_of_a_hidden_node_reaches_the_gate_of_any_edge(config: GraphEncoderConfig) -> None:
    gate = make_gate(config)
    hidden = torch.tensor([False, True, False, False, False, False])
    neighbours, targets = torch.tensor([1, 2, 3]), torch.tensor([0, 1, 4])
    nodes = make_nodes()
    other = dataclasses.replace(
        nodes,
        statistics=nodes.statistics.index_fill(0, torch.tensor([1]), 1234.0),
        image=nodes.image.index_fill(0, torch.tensor([1]), 1234.0),
        text=nodes.text.index_fill(0, torch.tensor([1]), 1234.0),
    )
    before = gate(gate.terms(nodes, hidden), neighbours, targets)
    after = gate(gate.terms(other, hidden), neighbours, targets)
    assert torch.equal(before, after)


def test_a_missing_image_is_not_read() -> None:
    gate = make_gate(small_config().graph)
    neighbours, targets = torch.tensor([1]), torch.tensor([0])
    nodes = dataclasses.replace(
        make_nodes(), has_image=torch.tensor([True, False, True, True, True, True])
    )
    other = dataclasses.replace(nodes, image=nodes.image.index_fill(0, torch.tensor([1]), 99.0))
    shown = torch.zeros(6, dtype=torch.bool)
    assert torch.equal(
        gate(gate.terms(nodes, shown), neighbours, targets),
        gate(gate.terms(other, shown), neighbours, targets),
    )


def test_weights_by_softmax_sum_to_one_over_the_neighbours_of_each_target() -> None:
    scores, targets = torch.tensor([1.0, 200.0, -3.0, 0.5]), torch.tensor([0, 0, 2, 2])
    weights = normalise(scores, targets, 3, "softmax")
    sums = torch.zeros(3).index_add(0, targets, weights)
    torch.testing.assert_close(sums, torch.tensor([1.0, 0.0, 1.0]))
    torch.testing.assert_close(weights[2:], torch.softmax(scores[2:], dim=0))


def test_weights_by_sigmoid_are_independent_of_the_other_neighbours() -> None:
    scores, targets = torch.tensor([1.0, 2.0]), torch.tensor([0, 0])
    assert torch.equal(normalise(scores, targets, 1, "sigmoid"), torch.sigmoid(scores))
    assert torch.equal(normalise(scores, targets, 1, "raw"), scores)
    assert torch.equal(normalise(scores, targets, 1, "tanh"), torch.tanh(scores))
