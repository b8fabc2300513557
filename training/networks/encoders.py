"""The image encoder (ViT, eq. 1) and the text encoder (BERT, eq. 2).

Both are networks of the library `transformers` with torch's scaled dot product attention and random
initial weights; `training.networks.pretrained` loads pretrained ones. With `compute.precision=bf16`
matrix products are in bf16, in training and in inference. Output vectors are float32, because later
steps sum, normalise and store them.

Shapes: B posts, T tokens, D width, C channels, S pixels a side.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn
from transformers import BertConfig, BertModel, PreTrainedModel, ViTConfig, ViTModel

from training.networks.config import ComputeConfig, ImageEncoderConfig, TextEncoderConfig

ON_ONE_MACHINE = ComputeConfig()


class Encoder(nn.Module):
    """A transformer whose first layers may be frozen.

    Frozen parts have no gradient and no dropout, and no optimiser holds their parameters.
    """

    def __init__(self) -> None:
        super().__init__()
        self._frozen: tuple[nn.Module, ...] = ()
        self._in_bf16 = False

    def train(self, mode: bool = True) -> "Encoder":
        """Set the mode as `nn.Module.train` does, but keep frozen parts in evaluation mode."""
        super().train(mode)
        for part in self._frozen:
            part.eval()
        return self

    def _prepare(
        self,
        network: PreTrainedModel,
        layers: Sequence[nn.Module],
        num_trained_layers: int | None,
        compute: ComputeConfig,
    ) -> None:
        self._in_bf16 = compute.precision == "bf16"
        self._frozen = frozen_parts(network, layers, num_trained_layers)
        for part in self._frozen:
            part.requires_grad_(False)
        if compute.checkpointed:
            network.activation_checkpointing_enable({"use_reentrant": False})
        if compute.compiled:
            # The gradient norm of each term is measured on a graph that backward() reuses.
            torch._functorch.config.donated_buffer = False
            for layer in layers:  # all layers share what is compiled for the first
                layer.compile()
        self.train()

    def _precision(self, device: torch.device) -> AbstractContextManager[None]:
        if not self._in_bf16:
            return nullcontext()
        return torch.autocast(device.type, dtype=torch.bfloat16)


class TextEncoder(Encoder):
    """The text encoder, a BERT (eq. 2).

    r^T = BERT(tokens)_[CLS] for `pooling` "cls"; for "mean", r^T is the mean of BERT(tokens)_t over
    all tokens t except padding.
    """

    def __init__(self, config: TextEncoderConfig, compute: ComputeConfig = ON_ONE_MACHINE) -> None:
        super().__init__()
        self.config = config
        self.bert = BertModel(bert_config(config), add_pooling_layer=False)
        self._prepare(self.bert, self.bert.encoder.layer, config.num_trained_layers, compute)

    @property
    def word_embeddings(self) -> Tensor:
        """The table (V, D) of token vectors, shared with the language modelling head."""
        weight: Tensor = self.bert.embeddings.word_embeddings.weight
        return weight

    def hidden(
        self, tokens_BT: Int[Tensor, "B T"], *, causal: bool = False
    ) -> Float[Tensor, "B T D"]:
        """The last layer's vector of every token; padding is masked; (0, T, D) for no captions.

        With `causal`, a token attends to itself and to the tokens before it.
        """
        if not len(tokens_BT):
            return self.word_embeddings.new_zeros(*tokens_BT.shape, self.config.width)
        mask = tokens_BT != self.config.pad_id
        if causal:
            num_tokens = tokens_BT.shape[1]
            past_TT = torch.ones(num_tokens, num_tokens, dtype=torch.bool, device=mask.device)
            mask = mask[:, None, None, :] & past_TT.tril()
        elif mask.is_cuda:  # transformers would wait for the device to learn if a mask is needed
            mask = mask[:, None, None, :]
        with self._precision(tokens_BT.device):
            states: Tensor = self.bert(input_ids=tokens_BT, attention_mask=mask).last_hidden_state
        return states.float()

    def forward(self, tokens_BT: Int[Tensor, "B T"]) -> Float[Tensor, "B D"]:
        """r^T of every caption; (0, D) for no captions."""
        hidden_BTD = self.hidden(tokens_BT)
        if self.config.pooling == "cls":
            return hidden_BTD[:, 0]
        return masked_mean(hidden_BTD, tokens_BT != self.config.pad_id)


class ImageEncoder(Encoder):
    """The image encoder, a ViT (eq. 1): r^I = ViT(pixels / 127.5 - 1)_[CLS]."""

    def __init__(self, config: ImageEncoderConfig, compute: ComputeConfig = ON_ONE_MACHINE) -> None:
        super().__init__()
        self.config = config
        self.vit = ViTModel(vit_config(config), add_pooling_layer=False)
        self._prepare(self.vit, self.vit.layers, config.num_trained_layers, compute)

    def forward(self, pixels_BCSS: UInt8[Tensor, "B C S S"]) -> Float[Tensor, "B D"]:
        """r^I of every image; (0, D) for no images. Bytes are scaled to [-1, 1]."""
        if not len(pixels_BCSS):
            return torch.zeros(0, self.config.width, device=pixels_BCSS.device)
        scaled = pixels_BCSS.to(torch.float32) / 127.5 - 1.0
        with self._precision(pixels_BCSS.device):
            states: Tensor = self.vit(pixel_values=scaled).last_hidden_state
        return states[:, 0].float()


def bert_config(config: TextEncoderConfig) -> BertConfig:
    """The config of the text encoder for the library `transformers`."""
    return BertConfig(
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
        use_cache=False,
        attn_implementation="sdpa",
    )


def vit_config(config: ImageEncoderConfig) -> ViTConfig:
    """The config of the image encoder for the library `transformers`."""
    return ViTConfig(
        image_size=config.image_size,
        patch_size=config.patch_size,
        hidden_size=config.width,
        num_hidden_layers=config.num_layers,
        num_attention_heads=config.num_heads,
        intermediate_size=config.feedforward_width,
        hidden_dropout_prob=config.dropout,
        attention_probs_dropout_prob=config.dropout,
        initializer_range=config.initializer_range,
        attn_implementation="sdpa",
    )


def frozen_parts(
    network: PreTrainedModel, layers: Sequence[nn.Module], num_trained_layers: int | None
) -> tuple[nn.Module, ...]:
    """The modules that training does not change: embeddings and all but the last layers.

    No module for None, the whole network for 0.
    """
    if num_trained_layers is None:
        return ()
    if not num_trained_layers:
        return (network,)
    return (network.embeddings, *layers[: len(layers) - num_trained_layers])


def masked_mean(
    values_BTD: Float[Tensor, "B T D"], mask_BT: Bool[Tensor, "B T"]
) -> Float[Tensor, "B D"]:
    """The mean over tokens in the mask: sum_t m_t h_t / sum_t m_t; zero for an empty mask."""
    weights_BT1 = mask_BT.to(values_BTD.dtype).unsqueeze(-1)
    return (values_BTD * weights_BT1).sum(1) / weights_BT1.sum(1).clamp(min=1.0)
