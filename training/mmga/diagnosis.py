"""Measures vectors and losses of a network on some batches, for `training.mmga.collapse`.

Dropout and gradients are off; the bank is read and not written. Shapes: U users, B seeds, D width.
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from training.mmga.batches import EncoderBatch, GraphBatch
from training.mmga.collapse import Finding, findings
from training.mmga.loss_weights import Batch, weights
from training.mmga.model import MMGA, contrast_loss
from training.mmga.user_bank import UserBank


class Measurements:
    """Vectors by modality, and loss and chance level of each term, over the added batches."""

    def __init__(self, model: MMGA, bank: UserBank) -> None:
        self.model, self.bank = model, bank
        self.vectors: dict[str, list[Tensor]] = {}
        self.losses: dict[str, list[Tensor]] = {}
        self.chance: dict[str, list[Tensor]] = {}

    def add(self, part: EncoderBatch | GraphBatch) -> None:
        """Add the vectors and losses of one batch."""
        if isinstance(part, GraphBatch):
            self._add_graph(part)
        else:
            self._add_posts(part)
            self._add_users(part)

    def findings(self) -> tuple[Finding, ...]:
        """Findings on all added batches; terms without a weight are left out."""
        weighted = weights(self.model.config.objectives)
        return findings(
            {name: torch.cat(parts).float().cpu().numpy() for name, parts in self.vectors.items()},
            {name: mean(parts) for name, parts in self.losses.items() if weighted[name]},
            {name: mean(parts) for name, parts in self.chance.items()},
        )

    def _add_posts(self, part: EncoderBatch) -> None:
        posts, align = part.posts, self.model.image_text_alignment
        image, text = self.model.image(posts.aligned_pixels), self.model.text(posts.aligned_tokens)
        hashes = (posts.image_hashes, posts.caption_hashes)
        chance = align(torch.ones_like(image), torch.ones_like(text), *hashes)
        self._add_term("alignment", align(image, text, *hashes), chance)
        if part.users is None:
            self.vectors.setdefault("image", []).append(image)
            self.vectors.setdefault("text", []).append(text)

    def _add_users(self, part: EncoderBatch) -> None:
        users = part.users
        if users is None:
            return
        model = self.model
        vectors, stale = model.user_vectors(users), self.bank.read(users.bank_users)
        losses = model.contrasts(vectors, users, self.bank)
        infonce = model.config.objectives.contrast == "infonce"
        for view in ("image", "text"):
            rows, known = getattr(vectors, view), getattr(vectors, f"has_{view}")
            bank, in_bank = getattr(stale, view), getattr(stale, f"has_{view}")
            head, loss = getattr(model, f"contrast_{view}"), losses[f"contrast_{view}"]
            chance = torch.full_like(loss, math.log(2))
            if infonce:
                alike = (torch.ones_like(rows), known, torch.ones_like(bank), in_bank)
                chance = contrast_loss(head, *alike, users)
            self.vectors.setdefault(view, []).append(rows[known])
            self._add_term(f"contrast_{view}", loss, chance)

    def _add_graph(self, part: GraphBatch) -> None:
        model = self.model
        losses = model.graph_losses(part, self.bank)
        nodes = model.node_inputs(self.bank.read(part.users), part.statistics, part.signature)
        graph = model.graph(nodes, part.blocks)
        fused = model.fused(
            graph, nodes.first(len(graph))
        )  # the vectors that are evaluated and published
        self.vectors.setdefault("graph", []).append(fused)
        share = part.connected.mean()
        chance = torch.special.entr(share) + torch.special.entr(1 - share)
        self._add_term("graph_structure", losses["graph_structure"], chance)

    def _add_term(self, name: str, loss: Tensor, chance: Tensor) -> None:
        self.losses.setdefault(name, []).append(loss)
        self.chance.setdefault(name, []).append(chance)


@torch.no_grad()
def diagnose(model: MMGA, bank: UserBank, batches: Iterable[Batch]) -> tuple[Finding, ...]:
    """Findings on the network, measured on these batches."""
    was_training = model.training
    model.eval()
    measured = Measurements(model, bank)
    for batch in batches:
        for part in batch:
            measured.add(part)
    model.train(was_training)
    return measured.findings()


def mean(values: list[Tensor]) -> float:
    """The mean of scalars."""
    return float(torch.stack(values).mean())
