"""The M-Gate: how much a neighbour tells about a user, from features and both modalities.

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
    """What the graph encoder reads of n nodes; modalities are detached (no gradient).

    A row of `image` or `text` where the user has none is not read: a learned vector stands there.
    """

    statistics: Float[Tensor, "n F"]
    image: Float[Tensor, "n Di"]
    text: Float[Tensor, "n Dt"]
    has_image: Bool[Tensor, " n"]
    has_text: Bool[Tensor, " n"]
    signature: Float[Tensor, "n S"]

    def first(self, num_nodes: int) -> "NodeInputs":
        """The first of the nodes alone."""
        columns = {each.name: getattr(self, each.name) for each in fields(self)}
        return NodeInputs(**{name: values[:num_nodes] for name, values in columns.items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class GateTerms:
    """What the gate needs of each node, computed once for all edges and layers.

    `target` and `neighbour` (n, H) are the node's terms of the first linear map. For `distance`,
    each modality has its projection (n, P), its unit vector (n, D), zero where it is not known,
    and whether it is known (n,).
    """

    target: Float[Tensor, "n H"]
    neighbour: Float[Tensor, "n H"]
    modalities: Sequence[tuple[Tensor, Tensor, Tensor]]


class MessageGate(nn.Module):
    """a_uv of each edge and relation (eq. 4, 5).

    `concat` is eq. 5 on projected and LayerNorm-ed inputs: W [X_u | X_v | R^I_u | R^T_u | R^I_v |
    R^T_v]. `distance` adds |R_u - R_v| and the cosine of each modality and one hidden layer, since
    eq. 5 is a term of u plus a term of v and cannot tell closeness (the order of its layers is
    GATv2's, Brody et al. 2022). `literal` drops projection and LayerNorm. K output channels, one a
    relation, since the kind of a relationship sets the weight too (section 2.3), or one for all.
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
        """The nodes' own part of all scores. Of nodes in `hidden_n` nothing is read."""
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
        """Scores, not yet normalised."""
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


def rows(values_nD: Float[Tensor, "n D"], places_E: Int[Tensor, " E"]) -> Float[Tensor, "E D"]:
    """The rows at these places; its gradient is far cheaper than that of `values[places]`."""
    return values_nD.index_select(0, places_E)


def normalise(
    scores_E: Float[Tensor, " E"],
    targets_E: Int[Tensor, " E"],
    num_targets: int,
    how: GateNormalisation,
) -> Float[Tensor, " E"]:
    """Weights from scores: `sigmoid` each alone, `softmax` over N(u) (GAT), `raw` as they are.

    `tanh`, which may be negative, is each alone too; over sqrt(d_u d_v) it is FAGCN's (Bo et al.
    2021), and the graph encoder, which knows the degrees, divides.
    """
    if how == "sigmoid":
        return torch.sigmoid(scores_E)
    if how == "tanh":
        return torch.tanh(scores_E)
    if how == "softmax":
        return softmax(scores_E, targets_E, num_nodes=num_targets)
    return scores_E


def drop_modalities(nodes: NodeInputs, rate: float) -> NodeInputs:
    """Hide R^I or R^T, each as often, of a share `rate` of the nodes that have both.

    So the graph encoder learns to do without, as it must for users who have one of the two.
    """
    draw_n = torch.rand(nodes.has_text.shape, device=nodes.has_text.device)
    both_n = nodes.has_image & nodes.has_text
    return replace(
        nodes,
        has_image=nodes.has_image & ~(both_n & (draw_n < rate / 2)),
        has_text=nodes.has_text & ~(both_n & (draw_n >= 1 - rate / 2)),
    )
