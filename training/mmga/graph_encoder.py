"""The multimodal-mixture graph encoder (eq. 3) over sampled neighbourhoods.

Shapes: n nodes (seeds first, then hop by hop), E edges of a relation, D width, K relations,
S signature width.
"""

from collections.abc import Sequence
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


class GraphEncoder(nn.Module):
    """R^G of the seeds (eq. 3): L gated layers over node features and both modalities.

    Node features are [X | R^I | R^T | signature], each projected and LayerNorm-ed and then added
    (`X` alone in the literal form). Each layer is eq. 6: h_u + sum over v of a_uv h_v, with a
    linear map of h_v, LayerNorm after the sum and an activation between layers, unless
    `literal_propagation`. The same a_uv weighs an edge in every layer, unless `per_layer_gates`.
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
        """Vectors of the seeds, the targets of the last block.

        Of nodes in `masked_n` neither features nor modalities are read, in no gate either: a
        learned token stands in their place (node feature modelling).
        """
        if masked_n is None:
            masked_n = torch.zeros_like(nodes.has_text)
        h_nD = self._features(nodes, masked_n)
        gate, terms = self.gate, self.gate.terms(nodes, masked_n)
        outer: Block | None = None
        for number, (layer, block) in enumerate(zip(self.layers, blocks, strict=True)):
            if number and self.later_gates:
                gate = cast(MessageGate, self.later_gates[number - 1])
                terms = gate.terms(nodes.first(len(h_nD)), masked_n[: len(h_nD)])
            h_nD = layer(h_nD, block, self._weights(gate, terms, block, outer))
            outer = block
        return h_nD

    def _weights(
        self, gate: MessageGate, terms: GateTerms, block: Block, outer: Block | None
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
        products = degree_products(block, outer, self.config.reverse_relations)
        return [weight * product.rsqrt() for weight, product in zip(weights, products, strict=True)]

    def _features(self, nodes: NodeInputs, masked_n: Tensor) -> Tensor:
        total = torch.zeros_like(masked_n, dtype=nodes.statistics.dtype).unsqueeze(1)
        known = {"image": nodes.has_image, "text": nodes.has_text}
        for name, project in self.inputs.items():
            part = project(getattr(nodes, name))
            if name in known:
                part = torch.where(known[name].unsqueeze(1), part, self.missing[name])
            total = total + part
        return torch.where(masked_n.unsqueeze(1), self.masked_node, total)


class GatedLayer(nn.Module):
    """Eq. 6: h_u <- LayerNorm(h_u + sum over relations and v in N(u) of a_uv W h_v).

    The activation after it is left out of the last layer, whose output is R^G.
    """

    def __init__(self, config: GraphEncoderConfig, *, activate: bool) -> None:
        super().__init__()
        self.literal = config.literal_propagation
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

    def forward(
        self,
        h_nD: Float[Tensor, "n D"],
        block: Block,
        weights: Sequence[Float[Tensor, " E"]],
    ) -> Float[Tensor, "m D"]:
        """Vectors of the block's m targets, for the weights a_uv of each relation's edges."""
        total = h_nD[: block.num_targets]
        for relation, (neighbours, targets) in enumerate(
            zip(block.neighbours, block.targets, strict=True)
        ):
            source = h_nD if self.literal else self.maps[relation](h_nD)
            messages = rows(source, neighbours) * weights[relation].unsqueeze(1)
            total = total.index_add(0, targets, messages)
        if self.literal:
            return total
        out: Tensor = self.finish(total)
        return out


def degree_products(
    block: Block, outer: Block | None, reverse_relations: Sequence[int]
) -> list[Float[Tensor, " E"]]:
    """d_u d_v of each edge of a block, by relation, counted among the sampled edges.

    Training edges that are hidden and edges beyond a fan-out count nowhere, so a degree is at most
    the fan-out, tells nothing of what is to be predicted, and depends on no other user of the
    batch. d_u is the number of edges of the relation at u in this block. d_v is the number of
    edges of the reverse relation at v in the block before, where v is a target (u follows v:
    whom u follows against who follows v). In the outermost block, for whose neighbours nothing was
    drawn, d_u stands for d_v. A v without such edges counts as one with one.
    """
    products = []
    for relation, targets in enumerate(block.targets):
        own = degree(targets, block.num_targets, torch.long)[targets]
        other = own
        if outer is not None:
            back = outer.targets[reverse_relations[relation]]
            other = degree(back, outer.num_targets, torch.long)[block.neighbours[relation]]
        products.append((own * other.clamp(min=1)).to(torch.float32))
    return products
