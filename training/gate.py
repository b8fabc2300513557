"""The M-Gate: how much a neighbour tells about a user, from features and both modalities.

Shapes: n nodes of a subgraph, E edges, P projected width, K relations, F features, D widths.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, normalize

from training.recipe import GateInput, GateNormalisation, GraphEncoderConfig


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


class MGate(nn.Module):
    """a_uv of each edge and relation (eq. 4, 5).

    `concat` is eq. 5 on projected and LayerNorm-ed inputs: W [X_u | X_v | R^I_u | R^T_u | R^I_v |
    R^T_v]. `distance` adds |R_u - R_v| and the cosine of each modality and one hidden layer, since
    eq. 5 is a term of u plus a term of v and cannot tell closeness. `literal` drops projection and
    LayerNorm. One output channel a relation.
    """

    def __init__(
        self, config: GraphEncoderConfig, *, num_features: int, image_width: int, text_width: int
    ) -> None:
        super().__init__()
        self.input: GateInput = config.gate_input
        self.literal = config.literal_gate
        widths = (num_features, image_width, text_width)
        if self.literal:
            self.literal_map = nn.Linear(2 * sum(widths), config.num_relations)
            return
        width = config.gate_width
        self.projections = nn.ModuleList(
            nn.Sequential(nn.Linear(size, width), nn.LayerNorm(width)) for size in widths
        )
        self.unknown = nn.Parameter(torch.randn(3, width) * 0.02)
        self.hidden_target = nn.Linear(3 * width, width)
        self.hidden_neighbour = nn.Linear(3 * width, width, bias=False)
        if self.input == "distance":
            self.hidden_distance = nn.Linear(2 * width + 2, width, bias=False)
        self.output = nn.Linear(width, config.num_relations)

    def forward(
        self,
        nodes: NodeInputs,
        neighbours_E: Int[Tensor, " E"],
        targets_E: Int[Tensor, " E"],
        hidden_n: Bool[Tensor, " n"],
    ) -> Float[Tensor, "E K"]:
        """Scores, not yet normalised. Of nodes in `hidden_n` nothing is read."""
        if self.literal:
            return self._literal(nodes, neighbours_E, targets_E, hidden_n)
        parts = self._projected(nodes, hidden_n)
        joined = torch.cat(parts, dim=1)
        target = self.hidden_target(joined)[targets_E]
        score = target + self.hidden_neighbour(joined)[neighbours_E]
        if self.input == "distance":
            distances = self._distances(nodes, parts, neighbours_E, targets_E, hidden_n)
            score = score + self.hidden_distance(distances)
            score = leaky_relu(score, 0.2)
        edge_scores: Tensor = self.output(score)
        return edge_scores

    def _projected(self, nodes: NodeInputs, hidden_n: Tensor) -> list[Tensor]:
        known = (~hidden_n, nodes.has_image & ~hidden_n, nodes.has_text & ~hidden_n)
        values = (nodes.statistics, nodes.image, nodes.text)
        return [
            torch.where(mask.unsqueeze(1), project(value), unknown)
            for project, value, mask, unknown in zip(
                self.projections, values, known, self.unknown, strict=True
            )
        ]

    def _distances(
        self,
        nodes: NodeInputs,
        parts: list[Tensor],
        neighbours_E: Tensor,
        targets_E: Tensor,
        hidden_n: Tensor,
    ) -> Tensor:
        columns = []
        for part, raw, has in (
            (parts[1], nodes.image, nodes.has_image),
            (parts[2], nodes.text, nodes.has_text),
        ):
            known_n = has & ~hidden_n
            both_E1 = (known_n[neighbours_E] & known_n[targets_E]).unsqueeze(1)
            gap = (part[neighbours_E] - part[targets_E]).abs()
            unit = normalize(raw, dim=1)
            cosine = (unit[neighbours_E] * unit[targets_E]).sum(1, keepdim=True)
            columns += [gap * both_E1, cosine * both_E1]
        return torch.cat(columns, dim=1)

    def _literal(
        self, nodes: NodeInputs, neighbours_E: Tensor, targets_E: Tensor, hidden_n: Tensor
    ) -> Tensor:
        shown_n1 = (~hidden_n).unsqueeze(1)
        x = nodes.statistics * shown_n1
        image = nodes.image * (shown_n1 & nodes.has_image.unsqueeze(1))
        text = nodes.text * (shown_n1 & nodes.has_text.unsqueeze(1))
        modal = torch.cat([image, text], dim=1)
        inputs = (x[targets_E], x[neighbours_E], modal[targets_E], modal[neighbours_E])
        score: Tensor = self.literal_map(torch.cat(inputs, dim=1))
        return score


def normalise(
    scores_E: Float[Tensor, " E"],
    targets_E: Int[Tensor, " E"],
    num_targets: int,
    how: GateNormalisation,
) -> Float[Tensor, " E"]:
    """Weights from scores: `sigmoid` each alone, `softmax` over N(u), `raw` as they are."""
    if how == "sigmoid":
        return torch.sigmoid(scores_E)
    if how == "raw":
        return scores_E
    peak = scores_E.new_full((num_targets,), -torch.inf)
    peak = peak.scatter_reduce(0, targets_E, scores_E.detach(), "amax")
    weights_E = torch.exp(scores_E - peak[targets_E])
    sums = scores_E.new_zeros(num_targets).index_add(0, targets_E, weights_E)
    return weights_E / sums[targets_E]
