"""The graph contrastive loss: connected users have similar vectors in a modality (eq. 7, 8).

Shapes: B pairs of connected users, C candidates (the B partners, then the bank), D width.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, log_softmax, nll_loss, normalize, relu


class NeighbourContrast(nn.Module):
    """Symmetric InfoNCE over neighbours on unit vectors (`infonce`; van den Oord et al. 2018).

        l(u, v) = -log(exp(u.v / t) / (exp(u.v / t) + sum over c in C(u) of exp(u.c / t)))
        loss    = mean over pairs (u, v) of (l(u, v) + l(v, u)) / 2

    u, v are the unit vectors of connected users, t is the temperature, and C(u) are the negatives
    that the masks allow.
    """

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(
        self,
        seeds_BD: Float[Tensor, "B D"],
        partners_BD: Float[Tensor, "B D"],
        bank_MD: Float[Tensor, "M D"],
        negatives_BC: Bool[Tensor, "B C"],
        negatives_back_BC: Bool[Tensor, "B C"],
    ) -> Float[Tensor, ""]:
        """Mean of both directions. The masks say which candidates are negatives of a user."""
        bank_MD = normalize(bank_MD, dim=1)
        seeds_BD, partners_BD = normalize(seeds_BD, dim=1), normalize(partners_BD, dim=1)
        with torch.autocast(seeds_BD.device.type, enabled=False):  # few products, and a cold one
            forth = self._one_way(seeds_BD, torch.cat([partners_BD, bank_MD]), negatives_BC)
            back = self._one_way(partners_BD, torch.cat([seeds_BD, bank_MD]), negatives_back_BC)
        return (forth + back) / 2

    def _one_way(self, anchors_BD: Tensor, candidates_CD: Tensor, negatives_BC: Tensor) -> Tensor:
        logits_BC = anchors_BD @ candidates_CD.T / self.temperature
        labels_B = torch.arange(len(anchors_BD), device=anchors_BD.device)
        positives_BC = torch.zeros_like(negatives_BC)
        positives_BC[labels_B, labels_B] = True
        logits_BC = logits_BC.masked_fill(~(negatives_BC | positives_BC), -torch.inf)
        return cross_entropy(logits_BC, labels_B)


class PairwiseContrast(nn.Module):
    """Cross entropy of connected and negative pairs (eq. 7, 8), one negative a pair.

        z(u, v) = W_2 ReLU(W_1 [R_u | R_v] + b_1) + b_2,   two logits
        loss    = -mean over pairs of log softmax((z(u, v) + z(v, u)) / 2)[label]

    A pair has no order, so both orders are averaged. `literal` is eq. 7 as printed:
    log softmax(ReLU(z(u, v))), whose last ReLU can stop all learning: if both logits are negative,
    both probabilities are 0.5 and the gradient is zero.
    """

    def __init__(self, width: int, *, literal: bool) -> None:
        super().__init__()
        self.literal = literal
        self.head = nn.Sequential(nn.Linear(2 * width, width), nn.ReLU(), nn.Linear(width, 2))

    def forward(
        self,
        seeds_BD: Float[Tensor, "B D"],
        partners_BD: Float[Tensor, "B D"],
        bank_MD: Float[Tensor, "M D"],
        negatives_BC: Bool[Tensor, "B C"],
        negatives_back_BC: Bool[Tensor, "B C"],
    ) -> Float[Tensor, ""]:
        """Mean over positive and negative pairs; a seed without candidates has no negative."""
        candidates_CD = torch.cat([partners_BD, bank_MD])
        has_negative_B = negatives_BC.any(1)
        pairs = [self._logits(seeds_BD, partners_BD)]
        negatives_BD = candidates_CD[next_negative(negatives_BC)]
        pairs.append(self._logits(seeds_BD, negatives_BD)[has_negative_B])
        logits = torch.cat(pairs)
        labels = torch.zeros(len(logits), dtype=torch.long, device=logits.device)
        labels[: len(seeds_BD)] = 1
        return nll_loss(log_softmax(logits, dim=1), labels)

    def _logits(self, u_BD: Tensor, v_BD: Tensor) -> Tensor:
        forth: Tensor = self.head(torch.cat([u_BD, v_BD], dim=1))
        if self.literal:
            return relu(forth)
        back: Tensor = self.head(torch.cat([v_BD, u_BD], dim=1))
        return (forth + back) / 2


def next_negative(negatives_BC: Bool[Tensor, "B C"]) -> Int[Tensor, " B"]:
    """The first allowed candidate after the seed's own position, cyclically.

    Each seed starts at another position, so that seeds do not share one negative.
    """
    num_seeds, num_candidates = negatives_BC.shape
    positions_C = torch.arange(num_candidates, device=negatives_BC.device)
    distance_BC = (positions_C - positions_C[:num_seeds, None] - 1) % num_candidates
    return distance_BC.masked_fill(~negatives_BC, num_candidates).argmin(1)
