"""Options of the encoders, and of how they are computed."""

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from training.errors import ConfigInvalid
from training.options.bounds import MAX_SIZE, Count, Fraction, Positive, Size, check_bounds

Pooling = Literal["cls", "mean"]
PostPooling = Literal["mean", "attention"]
Precision = Literal["fp32", "bf16"]
NumTokens = Annotated[int, Meta(ge=3, le=MAX_SIZE)]
"""[CLS], [SEP], and at least one word between them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextEncoderConfig:
    """A BERT encoder (eq. 2) and the ids of the special tokens of its vocabulary.

    `initializer_range` is the deviation of the first weights. BERT's 0.02 suits its width of 768;
    narrow encoders that learn from scratch need about width ** -0.5, or attention and output stay
    flat for hundreds of steps. `pretrained` is a folder, or a name on the hub, of weights and
    tokenizer whose sizes are these (None: from scratch); `num_trained_layers` counts the last
    layers that are trained (None: all of them and the embeddings; 0: frozen).
    """

    vocabulary_size: Size
    max_tokens: NumTokens
    width: Size
    num_layers: Size
    num_heads: Size
    feedforward_width: Size
    pooling: Pooling = "cls"
    pad_id: Count = 0
    mask_id: Count = 4
    num_special: Count = 5
    dropout: Fraction = 0.1
    initializer_range: Positive = 0.02
    pretrained: str | None = None
    num_trained_layers: Count | None = None

    def __post_init__(self) -> None:
        check_bounds(self, "text")
        check_layers(self, "text")
        check_special_ids(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageEncoderConfig:
    """A ViT encoder (eq. 1) over square images; `pretrained` as in `TextEncoderConfig`."""

    image_size: Size
    patch_size: Size
    width: Size
    num_layers: Size
    num_heads: Size
    feedforward_width: Size
    dropout: Fraction = 0.0
    initializer_range: Positive = 0.02
    pretrained: str | None = None
    num_trained_layers: Count | None = None

    def __post_init__(self) -> None:
        check_bounds(self, "image")
        check_layers(self, "image")
        if self.image_size % self.patch_size:
            raise ConfigInvalid(
                f"image.patch_size {self.patch_size} does not divide image.image_size "
                f"{self.image_size}; take one that does"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputeConfig:
    """Options of computation; they change results by rounding only.

    `num_ahead` batches are drawn while earlier ones are computed. `compiled` runs the encoders
    through torch.compile, `checkpointed` computes their activations again in the backward pass.
    Every `num_steps_per_gradient_norm` steps the gradient norm of each term is measured, which
    costs one more backward pass a term (0: never).
    """

    precision: Precision = "fp32"
    compiled: bool = False
    checkpointed: bool = False
    num_ahead: Count = 2
    num_steps_per_gradient_norm: Count = 25

    def __post_init__(self) -> None:
        check_bounds(self, "compute")


def check_layers(part: TextEncoderConfig | ImageEncoderConfig, name: str) -> None:
    """Raises ConfigInvalid for heads that do not share the width, or layers that are not there."""
    if part.width % part.num_heads:
        raise ConfigInvalid(
            f"{name}.num_heads {part.num_heads} does not divide {name}.width {part.width}; "
            "take one that does"
        )
    if (part.num_trained_layers or 0) > part.num_layers:
        raise ConfigInvalid(
            f"{name}.num_trained_layers is {part.num_trained_layers} of {part.num_layers} layers; "
            "take fewer, or none to train all"
        )


def check_special_ids(text: TextEncoderConfig) -> None:
    """Raises ConfigInvalid where special tokens are not the first ids of the vocabulary."""
    if text.num_special >= text.vocabulary_size:
        raise ConfigInvalid(
            f"text.num_special {text.num_special} leaves no word in a text.vocabulary_size of "
            f"{text.vocabulary_size}; take a larger vocabulary"
        )
    if text.pad_id == text.mask_id or max(text.pad_id, text.mask_id) >= text.num_special:
        raise ConfigInvalid(
            f"text.pad_id {text.pad_id} and text.mask_id {text.mask_id} are not two of the first "
            f"text.num_special {text.num_special} ids; take the tokenizer's ids"
        )
