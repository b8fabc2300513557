"""Masked language modelling with label smoothing (section 2.4, LM).

A bidirectional encoder trained autoregressively would see its target, so tokens are masked.
Shapes: B posts, T tokens, M masked tokens, V vocabulary, D width.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, gelu

from training.networks.config import TextEncoderConfig


def mask_tokens(
    tokens_BT: Int[Tensor, "B T"],
    config: TextEncoderConfig,
    rate: float,
    generator: torch.Generator,
) -> tuple[Int[Tensor, "B T"], Bool[Tensor, "B T"]]:
    """Corrupted tokens and which of them are targets.

    Of the ordinary tokens a share of `rate` are targets: 80 % of these become the mask token, 10 %
    a random ordinary token, 10 % stay.
    """
    shape = tokens_BT.shape
    ordinary = tokens_BT >= config.num_special
    chosen = (torch.rand(shape, generator=generator) < rate) & ordinary
    fate = torch.rand(shape, generator=generator)
    random_tokens = torch.randint(
        config.num_special, config.vocabulary_size, shape, generator=generator
    )
    corrupted = torch.where(chosen & (fate < 0.8), config.mask_id, tokens_BT)
    corrupted = torch.where(chosen & (fate >= 0.9), random_tokens, corrupted)
    return corrupted, chosen


class MaskedLanguageModelling(nn.Module):
    """Predicts the masked tokens with the encoder's own token vectors as output weights."""

    def __init__(self, config: TextEncoderConfig, label_smoothing: float) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing
        self.transform = nn.Linear(config.width, config.width)
        self.norm = nn.LayerNorm(config.width)
        self.bias = nn.Parameter(torch.zeros(config.vocabulary_size))

    def forward(
        self,
        hidden_BTD: Float[Tensor, "B T D"],
        tokens_BT: Int[Tensor, "B T"],
        targets_BT: Bool[Tensor, "B T"],
        word_embeddings_VD: Float[Tensor, "V D"],
    ) -> Float[Tensor, ""]:
        """Mean cross entropy over the targets; 0 where there is none."""
        hidden_MD = self.norm(gelu(self.transform(hidden_BTD[targets_BT])))
        logits_MV = hidden_MD @ word_embeddings_VD.T + self.bias
        labels_M = tokens_BT[targets_BT]
        total = cross_entropy(
            logits_MV, labels_M, label_smoothing=self.label_smoothing, reduction="sum"
        )
        return total / max(1, labels_M.numel())


class CausalLanguageModelling(MaskedLanguageModelling):
    """Predicts each token from those before it, by a head like that of the masked form."""

    def __init__(self, config: TextEncoderConfig, label_smoothing: float) -> None:
        super().__init__(config, label_smoothing)
        self.num_special = config.num_special

    def predict(
        self,
        hidden_BTD: Float[Tensor, "B T D"],
        tokens_BT: Int[Tensor, "B T"],
        word_embeddings_VD: Float[Tensor, "V D"],
    ) -> Float[Tensor, ""]:
        """Mean cross entropy over the ordinary tokens, as in the masked form; 0 without any."""
        next_BT = tokens_BT[:, 1:]
        ordinary_BT = next_BT >= self.num_special
        return self(hidden_BTD[:, :-1], next_BT, ordinary_BT, word_embeddings_VD)
