"""Language modelling, masked or causal, with label smoothing (section 2.4, LM).

A bidirectional encoder attends to the token that it should predict, so tokens are masked, or the
attention is causal.
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
    """Corrupted tokens, and which tokens are targets (Devlin et al. 2019, section 3.1).

    Each ordinary token is a target with probability `rate`. 80 % of the targets become the mask
    token, 10 % a random ordinary token, and 10 % stay.
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
    """Masked language modelling: BERT's head, with the token embeddings E as output weights.

        z_t  = E LayerNorm(GELU(W h_t + b)) + c
        loss = mean over targets t of CE(softmax(z_t), y_t)

    h_t is the encoder's vector of token t, y_t the original token. CE is the cross entropy with
    label smoothing e: the target distribution is (1 - e) one_hot(y_t) + e / V.
    """

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
        """Mean cross entropy over the targets; 0 without targets."""
        hidden_MD = self.norm(gelu(self.transform(hidden_BTD[targets_BT])))
        logits_MV = hidden_MD @ word_embeddings_VD.T + self.bias
        labels_M = tokens_BT[targets_BT]
        total = cross_entropy(
            logits_MV, labels_M, label_smoothing=self.label_smoothing, reduction="sum"
        )
        return total / max(1, labels_M.numel())


class CausalLanguageModelling(MaskedLanguageModelling):
    """Causal language modelling: predict each token from the tokens before it.

        loss = mean over ordinary tokens t + 1 of CE(softmax(z_t), y_(t+1))

    z_t and CE are those of `MaskedLanguageModelling`; h_t comes from causal attention.
    """

    def __init__(self, config: TextEncoderConfig, label_smoothing: float) -> None:
        super().__init__(config, label_smoothing)
        self.num_special = config.num_special

    def predict(
        self,
        hidden_BTD: Float[Tensor, "B T D"],
        tokens_BT: Int[Tensor, "B T"],
        word_embeddings_VD: Float[Tensor, "V D"],
    ) -> Float[Tensor, ""]:
        """Mean cross entropy over the ordinary tokens; 0 without ordinary tokens."""
        next_BT = tokens_BT[:, 1:]
        ordinary_BT = next_BT >= self.num_special
        return self(hidden_BTD[:, :-1], next_BT, ordinary_BT, word_embeddings_VD)
