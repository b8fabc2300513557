"""The message gate (M-Gate): the weight of each edge, from features and both modalities.

Shapes: n nodes of a subgraph, E edges, P projected width, H hidden width, K channels, F features,
D widths.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, normalize
from torch_geometric.utils import softmax

from training.mmga.config import GateNormalisation, GraphEncoderConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeInputs:
    """Inputs of the graph encoder for n nodes; modalities are detached (no gradient).

    Rows of `image` and `text` without the modality are ignored: a learned vector replaces them.
    """

    statistics: Float[Tensor, "n F"]
    image: Float[Tensor, "n Di"]
    text: Float[Tensor, "n Dt"]
    has_image: Bool[Tensor, " n"]
    has_text: Bool[Tensor, " n"]
    signature: Float[Tensor, "n S"]

    def first(self, num_nodes: int) -> "NodeInputs":
        """The first `num_nodes` nodes."""
        columns = {each.name: getattr(self, each.name) for each in fields(self)}
        return NodeInputs(**{name: values[:num_nodes] for name, values in columns.items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class GateTerms:
    """The terms of the gate that depend on one node, computed once for all edges and layers.

    `target` and `neighbour` (n, H) are the node's terms of the first linear map. For `distance`,
    `modalities` holds for each modality its projection (n, P), its unit vector (n, D), which is
    zero where the modality is missing, and whether the node has it (n,).
    """

    target: Float[Tensor, "n H"]
    neighbour: Float[Tensor, "n H"]
    modalities: Sequence[tuple[Tensor, Tensor, Tensor]]


class MessageGate(nn.Module):
    """Scores of edges, from which `normalise` computes the weights a_uv (eq. 4, 5).

    With p_u = [P_X(X_u) | P_I(R^I_u) | P_T(R^T_u)], where P_m(x) = LayerNorm(W_m x + b_m):

        concat (eq. 5):  s_uv = W_t p_u + W_n p_v + b
        distance:        s_uv = W_o LeakyReLU(W_t p_u + W_n p_v + b + W_d g_uv) + b_o
                         g_uv = [|P_m(R^m_u) - P_m(R^m_v)| | cos(R^m_u, R^m_v)],  m in {I, T}

    Eq. 5 is a term of u plus a term of v, so it cannot express similarity; `distance` can, with
    the order of layers of GATv2 (Brody et al. 2022). g_uv is zero for a modality that u or v lacks,
    and a learned vector replaces its P_m. `literal_gate` replaces P_m by the identity.
    s_uv has K channels: one a relation, since the kind of relationship sets the weight too (section
    2.3), or one for all relations.
    """

    def __init__(
        self, config: GraphEncoderConfig, *, num_features: int, image_width: int, text_width: int
    ) -> None:
        super().__init__()
        self.literal = config.literal_gate
        self.by_distance = config.gate_input == "distance"
        widths = (num_features, image_width, text_width)
        width = config.gate_width
        size = sum(widths) if self.literal else 3 * width
        terms = width if self.by_distance else config.num_gate_channels
        self.of_target = nn.Linear(size, terms)
        self.of_neighbour = nn.Linear(size, terms, bias=False)
        if not self.literal:
            self.projections = nn.ModuleList(
                nn.Sequential(nn.Linear(each, width), nn.LayerNorm(width)) for each in widths
            )
            self.unknown = nn.Parameter(torch.randn(3, width) * 0.02)
        if self.by_distance:
            self.of_distance = nn.Linear(2 * width + 2, width, bias=False)
            self.output = nn.Linear(width, config.num_gate_channels)

    def terms(self, nodes: NodeInputs, hidden_n: Bool[Tensor, " n"]) -> GateTerms:
        """The terms of the scores that depend on one node; nodes in `hidden_n` are not read."""
        shown_n = ~hidden_n
        known = (shown_n, nodes.has_image & shown_n, nodes.has_text & shown_n)
        values = (nodes.statistics, nodes.image, nodes.text)
        parts = self._literal(values, known) if self.literal else self._projected(values, known)
        joined = torch.cat(parts, dim=1)
        modalities = (
            [
                (part, normalize(value, dim=1) * mask.unsqueeze(1), mask)
                for part, value, mask in zip(parts[1:], values[1:], known[1:], strict=True)
            ]
            if self.by_distance
            else []
        )
        return GateTerms(
            target=self.of_target(joined),
            neighbour=self.of_neighbour(joined),
            modalities=modalities,
        )

    def forward(
        self, terms: GateTerms, neighbours_E: Int[Tensor, " E"], targets_E: Int[Tensor, " E"]
    ) -> Float[Tensor, "E K"]:
        """Scores s_uv before `normalise`."""
        score = rows(terms.target, targets_E) + rows(terms.neighbour, neighbours_E)
        if not self.by_distance:
            return score
        columns = []
        for part, unit, known in terms.modalities:
            both_E = known[neighbours_E] & known[targets_E]
            gap = (rows(part, neighbours_E) - rows(part, targets_E)).abs()
            cosine = (rows(unit, neighbours_E) * rows(unit, targets_E)).sum(1, keepdim=True)
            columns += [gap * both_E.unsqueeze(1), cosine]
        score = score + self.of_distance(torch.cat(columns, dim=1))
        edge_scores: Tensor = self.output(leaky_relu(score, 0.2))
        return edge_scores

    def _projected(self, values: Sequence[Tensor], known: Sequence[Tensor]) -> list[Tensor]:
        return [
            torch.where(mask.unsqueeze(1), project(value), unknown)
            for project, value, mask, unknown in zip(
                self.projections, values, known, self.unknown, strict=True
            )
        ]

    def _literal(self, values: Sequence[Tensor], known: Sequence[Tensor]) -> list[Tensor]:
        return [value * mask.unsqueeze(1) for value, mask in zip(values, known, strict=True)]


def rows(values_nD: Float[Tensor, "n D"], indices_E: Int[Tensor, " E"]) -> Float[Tensor, "E D"]:
    """The rows at these indices; the gradient is far cheaper than that of `values[indices]`."""
    return values_nD.index_select(0, indices_E)


def normalise(
    scores_E: Float[Tensor, " E"],
    targets_E: Int[Tensor, " E"],
    num_targets: int,
    how: GateNormalisation,
) -> Float[Tensor, " E"]:
    """Weights a_uv from scores s_uv.

        sigmoid:  a_uv = 1 / (1 + exp(-s_uv))
        softmax:  a_uv = exp(s_uv) / sum over w in N(u) of exp(s_uw)     (GAT)
        tanh:     a_uv = tanh(s_uv), which may be negative
        raw:      a_uv = s_uv

    FAGCN (Bo et al. 2021) divides tanh(s_uv) by sqrt(d_u d_v); the graph encoder, which has the
    degrees, does so.
    """
    if how == "sigmoid":
        return torch.sigmoid(scores_E)
    if how == "tanh":
        return torch.tanh(scores_E)
    if how == "softmax":
        return softmax(scores_E, targets_E, num_nodes=num_targets)
    return scores_E


def drop_modalities(nodes: NodeInputs, rate: float) -> NodeInputs:
    """Modality dropout: hide R^I or R^T, with equal chance, of a share `rate` of complete nodes.

    Nodes that have both are drawn. The graph encoder learns to work with one modality, as it must
    for users who have only one.
    """
    draw_n = torch.rand(nodes.has_text.shape, device=nodes.has_text.device)
    both_n = nodes.has_image & nodes.has_text
    return replace(
        nodes,
        has_image=nodes.has_image & ~(both_n & (draw_n < rate / 2)),
        has_text=nodes.has_text & ~(both_n & (draw_n >= 1 - rate / 2)),
    )
