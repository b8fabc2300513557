"""The multimodal-mixture graph encoder (eq. 3) over sampled neighbourhoods.

Shapes: n nodes (seeds first, then hop by hop), E edges of a relation, D width, K relations,
S signature width.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch_geometric.utils import degree

from training.mmga.config import GraphEncoderConfig
from training.mmga.message_gate import GateTerms, MessageGate, NodeInputs, normalise, rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """The edges of one layer: messages flow from any node to the first `num_targets` nodes.

    One (neighbours, targets) pair of index vectors for each relation.
    """

    num_targets: int
    neighbours: Sequence[Int[Tensor, " E"]]
    targets: Sequence[Int[Tensor, " E"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStates:
    """What layer l reads of n nodes.

    `hidden` is h^(l-1) and `messages` is W_r h^(l-1) for each relation r, to be read once. `terms`
    are those of the layer's gate. `degrees` are, for `tanh`, the `drawn_degrees` of the previous
    layer; empty before the first one.
    """

    hidden: Float[Tensor, "n D"]
    messages: Iterable[Float[Tensor, "n D"]]
    terms: GateTerms
    degrees: Sequence[Int[Tensor, " n"]] = ()


class GraphEncoder(nn.Module):
    """R^G of the seeds (arXiv 2210.09946, eq. 3): L gated layers over X, R^I and R^T.

        h_u^0 = sum over m of LayerNorm(W_m x_u^m + b_m),  m in {X, R^I, R^T, signature}
        h^l   = GatedLayer(h^(l-1), a),  a_uv = normalise(MessageGate(u, v)),  R^G = h^L

    `node_features` "X" omits R^I and R^T from h^0. A learned vector replaces the term of a missing
    modality, and another one replaces h_u^0 of a masked node. All layers share one gate, unless
    `per_layer_gates`. For `tanh`, a_uv is divided by sqrt(d_u d_v) (see `degree_products`).
    """

    def __init__(
        self, config: GraphEncoderConfig, *, num_features: int, image_width: int, text_width: int
    ) -> None:
        super().__init__()
        self.config = config
        sizes = {
            "num_features": num_features,
            "image_width": image_width,
            "text_width": text_width,
        }
        self.gate = MessageGate(config, **sizes)
        widths = {"statistics": num_features}
        if config.node_features == "X+R":
            widths |= {"image": image_width, "text": text_width}
        if config.signature_width:
            widths |= {"signature": config.signature_width}
        self.inputs = nn.ModuleDict(
            {
                name: nn.Sequential(nn.Linear(width, config.width), nn.LayerNorm(config.width))
                for name, width in widths.items()
            }
        )
        self.missing = nn.ParameterDict(
            {
                name: nn.Parameter(torch.zeros(config.width))
                for name in widths
                if name in ("image", "text")
            }
        )
        self.masked_node = nn.Parameter(torch.randn(config.width) * 0.02)
        last = config.num_layers - 1
        self.layers = nn.ModuleList(
            GatedLayer(config, activate=number < last) for number in range(config.num_layers)
        )
        self.later_gates = nn.ModuleList(
            MessageGate(config, **sizes) for _ in range(last if config.per_layer_gates else 0)
        )

    def forward(
        self,
        nodes: NodeInputs,
        blocks: Sequence[Block],
        masked_n: Bool[Tensor, " n"] | None = None,
    ) -> Float[Tensor, "B D"]:
        """Vectors of the seeds, which are the targets of the last block.

        For nodes in `masked_n` (node feature modelling), a learned vector replaces features and
        modalities, in the gates too.
        """
        if masked_n is None:
            masked_n = torch.zeros_like(nodes.has_text)
        h_nD = self.features(nodes, masked_n)
        terms = self.gate.terms(nodes, masked_n)
        degrees: Sequence[Tensor] = ()
        for number, block in enumerate(blocks):
            if number and self.later_gates:
                terms = self.terms(number, nodes.first(len(h_nD)), masked_n[: len(h_nD)])
            h_nD = self.layer(number, self.states(number, h_nD, terms, degrees), block)
            degrees = self.degrees(block)
        return h_nD

    def states(
        self,
        number: int,
        h_nD: Float[Tensor, "n D"],
        terms: GateTerms,
        degrees: Sequence[Int[Tensor, " n"]],
    ) -> NodeStates:
        """What layer `number`, from 0, reads of these nodes."""
        messages = cast(GatedLayer, self.layers[number]).messages(h_nD)
        return NodeStates(hidden=h_nD, messages=messages, terms=terms, degrees=degrees)

    def layer(self, number: int, states: NodeStates, block: Block) -> Float[Tensor, "m D"]:
        """h of the block's targets after layer `number`, from 0."""
        weights = self._weights(self._gate(number), states.terms, block, states.degrees)
        hidden: Tensor = self.layers[number](states.hidden, states.messages, block, weights)
        return hidden

    def terms(self, number: int, nodes: NodeInputs, masked_n: Bool[Tensor, " n"]) -> GateTerms:
        """The terms of the gate of layer `number`, from 0."""
        return self._gate(number).terms(nodes, masked_n)

    def degrees(self, block: Block) -> Sequence[Int[Tensor, " m"]]:
        """The `drawn_degrees` of the block's targets, where the next layer reads them."""
        return drawn_degrees(block) if self.config.gate_normalisation == "tanh" else ()

    def _gate(self, number: int) -> MessageGate:
        has_own = number and self.later_gates
        return cast(MessageGate, self.later_gates[number - 1] if has_own else self.gate)

    def _weights(
        self,
        gate: MessageGate,
        terms: GateTerms,
        block: Block,
        degrees: Sequence[Int[Tensor, " n"]],
    ) -> list[Tensor]:
        how, num_channels = self.config.gate_normalisation, self.config.num_gate_channels
        weights = [
            normalise(
                gate(terms, neighbours, targets)[:, relation % num_channels],
                targets,
                block.num_targets,
                how,
            )
            for relation, (neighbours, targets) in enumerate(
                zip(block.neighbours, block.targets, strict=True)
            )
        ]
        if how != "tanh":
            return weights
        products = degree_products(block, degrees, self.config.reverse_relations)
        return [weight * product.rsqrt() for weight, product in zip(weights, products, strict=True)]

    def features(self, nodes: NodeInputs, masked_n: Bool[Tensor, " n"]) -> Float[Tensor, "n D"]:
        """h^0 of these nodes."""
        total = torch.zeros_like(masked_n, dtype=nodes.statistics.dtype).unsqueeze(1)
        known = {"image": nodes.has_image, "text": nodes.has_text}
        for name, project in self.inputs.items():
            part = project(getattr(nodes, name))
            if name in known:
                part = torch.where(known[name].unsqueeze(1), part, self.missing[name])
            total = total + part
        return torch.where(masked_n.unsqueeze(1), self.masked_node, total)


class GatedLayer(nn.Module):
    """One layer of message passing (eq. 6), extended by relations r, LayerNorm and GELU.

        h_u <- Dropout(GELU(LayerNorm(h_u + sum over r and v in N_r(u) of a_uv^r W_r h_v)))

    The last layer has no GELU (`activate=False`). With `literal_propagation` the layer is eq. 6 as
    printed: h_u <- h_u + sum over r and v in N_r(u) of a_uv^r h_v.
    """

    def __init__(self, config: GraphEncoderConfig, *, activate: bool) -> None:
        super().__init__()
        self.literal = config.literal_propagation
        self.num_relations = config.num_relations
        if self.literal:
            return
        linears = [
            nn.Linear(config.width, config.width, bias=False) for _ in range(config.num_relations)
        ]
        # A plain sum over many neighbours would drown the residual before training begins.
        for linear in linears:
            nn.init.xavier_uniform_(linear.weight, gain=max(config.fan_outs) ** -0.5)
        self.maps = nn.ModuleList(linears)
        self.finish = nn.Sequential(
            nn.LayerNorm(config.width),
            nn.GELU() if activate else nn.Identity(),
            nn.Dropout(config.dropout),
        )

    def messages(self, h_nD: Float[Tensor, "n D"]) -> Iterator[Float[Tensor, "n D"]]:
        """W_r h of every relation r, each computed when it is asked for."""
        for relation in range(self.num_relations):
            yield h_nD if self.literal else self.maps[relation](h_nD)

    def forward(
        self,
        h_nD: Float[Tensor, "n D"],
        messages: Iterable[Float[Tensor, "n D"]],
        block: Block,
        weights: Sequence[Float[Tensor, " E"]],
    ) -> Float[Tensor, "m D"]:
        """New vectors of the block's m targets, from one message tensor and a_uv a relation."""
        total = h_nD[: block.num_targets]
        for sent, weight, neighbours, targets in zip(
            messages, weights, block.neighbours, block.targets, strict=True
        ):
            total = total.index_add(0, targets, rows(sent, neighbours) * weight.unsqueeze(1))
        if self.literal:
            return total
        out: Tensor = self.finish(total)
        return out


def drawn_degrees(block: Block) -> Sequence[Int[Tensor, " m"]]:
    """The number of the block's edges at each of its targets, one vector a relation."""
    return [degree(targets, block.num_targets, torch.long) for targets in block.targets]


def degree_products(
    block: Block, outer_degrees: Sequence[Int[Tensor, " n"]], reverse_relations: Sequence[int]
) -> list[Float[Tensor, " E"]]:
    """d_u d_v of each sampled edge (u, v) of a block, one vector a relation.

    d_u is the number of edges of the relation at u in this block. d_v is the number of edges of
    the reverse relation at v in the previous block, where v is a target; at least 1. The outermost
    block has no previous block, so d_u replaces d_v there.

    Only sampled edges are counted: hidden training edges and edges beyond the fan-out are not. So
    a degree is at most the fan-out, does not leak the edges to predict, and is independent of the
    other users of the batch.
    """
    products = []
    for relation, own_degrees in enumerate(drawn_degrees(block)):
        own = own_degrees[block.targets[relation]]
        other = own
        if outer_degrees:
            other = outer_degrees[reverse_relations[relation]][block.neighbours[relation]]
        products.append((own * other.clamp(min=1)).to(torch.float32))
    return products
