"""The image encoder (ViT, eq. 1) and the text encoder (BERT, eq. 2).

Shapes: B posts, T tokens, D width, C channels, S pixels a side.
"""

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn
from transformers import BertConfig, BertModel, ViTConfig, ViTModel

from training.config import ImageEncoderConfig, TextEncoderConfig


class TextEncoder(nn.Module):
    """A caption as the vector at [CLS] (eq. 2), or the mean over its tokens."""

    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.bert = BertModel(
            BertConfig(
                vocab_size=config.vocabulary_size,
                hidden_size=config.width,
                num_hidden_layers=config.num_layers,
                num_attention_heads=config.num_heads,
                intermediate_size=config.feedforward_width,
                max_position_embeddings=config.max_tokens,
                hidden_dropout_prob=config.dropout,
                attention_probs_dropout_prob=config.dropout,
                type_vocab_size=1,
                initializer_range=config.initializer_range,
                pad_token_id=config.pad_id,
            ),
            add_pooling_layer=False,
        )

    @property
    def word_embeddings(self) -> Tensor:
        """The table (V, D) of token vectors, shared with the language modelling head."""
        weight: Tensor = self.bert.embeddings.word_embeddings.weight
        return weight

    def hidden(self, tokens_BT: Int[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        """The last layer's vector of every token; padding is masked."""
        mask_BT = tokens_BT != self.config.pad_id
        states: Tensor = self.bert(input_ids=tokens_BT, attention_mask=mask_BT).last_hidden_state
        return states

    def forward(self, tokens_BT: Int[Tensor, "B T"]) -> Float[Tensor, "B D"]:
        """One vector a caption; none for none."""
        if not len(tokens_BT):
            return self.word_embeddings.new_zeros(0, self.config.width)
        hidden_BTD = self.hidden(tokens_BT)
        if self.config.pooling == "cls":
            return hidden_BTD[:, 0]
        return masked_mean(hidden_BTD, tokens_BT != self.config.pad_id)


class ImageEncoder(nn.Module):
    """An image as the vector at [CLS] (eq. 1)."""

    def __init__(self, config: ImageEncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.vit = ViTModel(
            ViTConfig(
                image_size=config.image_size,
                patch_size=config.patch_size,
                hidden_size=config.width,
                num_hidden_layers=config.num_layers,
                num_attention_heads=config.num_heads,
                intermediate_size=config.feedforward_width,
                initializer_range=config.initializer_range,
            ),
            add_pooling_layer=False,
        )

    def forward(self, pixels_BCSS: UInt8[Tensor, "B C S S"]) -> Float[Tensor, "B D"]:
        """One vector an image, none for none; bytes are scaled to [-1, 1]."""
        if not len(pixels_BCSS):
            return torch.zeros(0, self.config.width, device=pixels_BCSS.device)
        scaled = pixels_BCSS.to(torch.float32) / 127.5 - 1.0
        states: Tensor = self.vit(pixel_values=scaled).last_hidden_state
        return states[:, 0]


def masked_mean(
    values_BTD: Float[Tensor, "B T D"], mask_BT: Bool[Tensor, "B T"]
) -> Float[Tensor, "B D"]:
    """The mean of the vectors that the mask keeps; zero where it keeps none."""
    weights_BT1 = mask_BT.to(values_BTD.dtype).unsqueeze(-1)
    return (values_BTD * weights_BT1).sum(1) / weights_BT1.sum(1).clamp(min=1.0)


def mean_by_owner(
    values_PD: Float[Tensor, "P D"], owners_P: Int[Tensor, " P"], num_owners: int
) -> tuple[Float[Tensor, "U D"], Bool[Tensor, " U"]]:
    """The masked mean of each user's posts (U, D), and which users have any (U,)."""
    counts_U = torch.bincount(owners_P, minlength=num_owners)
    sums_UD = values_PD.new_zeros(num_owners, values_PD.shape[1])
    sums_UD = sums_UD.index_add(0, owners_P, values_PD)
    return sums_UD / counts_U.clamp(min=1).unsqueeze(-1), counts_U > 0
