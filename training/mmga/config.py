"""The configuration of a training run as a frozen value; `training.mmga.recipes` has named ones.

What the paper leaves open is an option: a default, whose reason `docs/mmga.md` gives, and the
paper's literal form beside it (`paper_literal`). Widths are in floats, `num_` are counts, rates are
in [0, 1].
"""

import json
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass
from typing import Any, Literal, get_type_hints

from training.errors import RecipeUnknown
from training.options.bounds import check_bounds

GateInput = Literal["distance", "concat"]
GateNormalisation = Literal["sigmoid", "softmax", "tanh", "raw"]
Edges = Literal["mutual", "follows", "mutual+mentions", "follows+mentions"]
NodeFeatures = Literal["X+R", "X"]
Contrast = Literal["infonce", "pairwise", "paper_literal"]
Pooling = Literal["cls", "mean"]
PostPooling = Literal["mean", "attention"]
Fusion = Literal["concat", "gated"]
LanguageModelling = Literal["masked", "causal"]
NodeFeatureLoss = Literal["huber", "scaled_cosine"]
Weighting = Literal["fixed", "uncertainty"]
HardStrangers = Literal["degree", "two_hop"]
Order = Literal["alternating", "joint"]
Precision = Literal["fp32", "bf16"]
Sampler = Literal["snapshot", "database"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TextEncoderConfig:
    """A BERT encoder (eq. 2) and the ids of the special tokens of its vocabulary.

    `initializer_range` is the deviation of the first weights. BERT's 0.02 suits its width of 768;
    narrow encoders that learn from scratch need about width ** -0.5, or attention and output stay
    flat for hundreds of steps. `pretrained` is a folder, or a name on the hub, of weights and
    tokenizer whose sizes are these (None: from scratch); `num_trained_layers` counts the last
    layers that training moves (None: all of them and the embeddings; 0: frozen).
    """

    vocabulary_size: int
    max_tokens: int
    width: int
    num_layers: int
    num_heads: int
    feedforward_width: int
    pooling: Pooling = "cls"
    pad_id: int = 0
    mask_id: int = 4
    num_special: int = 5
    dropout: float = 0.1
    initializer_range: float = 0.02
    pretrained: str | None = None
    num_trained_layers: int | None = None

    def __post_init__(self) -> None:
        check_bounds(self, "text")
        check_layers(self, "text")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageEncoderConfig:
    """A ViT encoder (eq. 1) over square images; `pretrained` as in `TextEncoderConfig`."""

    image_size: int
    patch_size: int
    width: int
    num_layers: int
    num_heads: int
    feedforward_width: int
    dropout: float = 0.0
    initializer_range: float = 0.02
    pretrained: str | None = None
    num_trained_layers: int | None = None

    def __post_init__(self) -> None:
        check_bounds(self, "image")
        check_layers(self, "image")
        if self.image_size % self.patch_size:
            raise RecipeUnknown(
                f"image.patch_size {self.patch_size} does not divide image.image_size "
                f"{self.image_size}; take one that does"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphEncoderConfig:
    """The graph encoder with its M-Gate (eq. 3-6).

    `fan_outs[k]` bounds the neighbours, of each relation, of the k-th hop from a seed.
    `signature_width` adds a fixed pseudo-random vector of each user, a hash of the id, to the
    node features: summed over neighbours it tells who they are, so that products of two users'
    vectors can count shared neighbours; 0 leaves it out. `literal_propagation` is eq. 6 as
    printed, without linear map, LayerNorm and activation; `literal_gate` is eq. 5 as printed, one
    linear map of the raw inputs. With `per_layer_gates` each layer has a gate of its own; eq. 5
    has one for all. With `per_relation_gates` the gate has one weight for each relation of a pair,
    else one for all.
    """

    width: int
    fan_outs: tuple[int, ...]
    edges: Edges = "mutual"
    node_features: NodeFeatures = "X+R"
    signature_width: int = 0
    gate_input: GateInput = "distance"
    gate_normalisation: GateNormalisation = "sigmoid"
    gate_width: int = 32
    per_layer_gates: bool = False
    per_relation_gates: bool = True
    literal_gate: bool = False
    literal_propagation: bool = False
    dropout: float = 0.0

    def __post_init__(self) -> None:
        check_bounds(self, "graph")
        if self.gate_normalisation == "softmax" and self.gate_input == "concat":
            raise RecipeUnknown(
                "gate_normalisation softmax with gate_input concat gives every target the same "
                "weights; take gate_input distance"
            )
        if self.literal_propagation and self.dropout:
            raise RecipeUnknown(
                "literal_propagation is eq. 6 as printed, which has no dropout; take graph.dropout "
                "0"
            )
        if self.literal_gate and self.gate_input != "concat":
            raise RecipeUnknown(
                "literal_gate is eq. 5 as printed, which has no distances; take gate_input concat"
            )

    @property
    def num_layers(self) -> int:
        """One layer a hop."""
        return len(self.fan_outs)

    @property
    def is_directed(self) -> bool:
        """Whether follows keep their direction; else edges are mutual follows."""
        return self.edges.startswith("follows")

    @property
    def has_mentions(self) -> bool:
        """Whether mentions are edges too, one type for each direction."""
        return self.edges.endswith("+mentions")

    @property
    def num_relations(self) -> int:
        """Edge types that have a linear map and a gate channel of their own."""
        return (2 if self.is_directed else 1) + (2 if self.has_mentions else 0)

    @property
    def num_gate_channels(self) -> int:
        """Weights that the gate gives a pair."""
        return self.num_relations if self.per_relation_gates else 1

    @property
    def reverse_relations(self) -> tuple[int, ...]:
        """For each relation the one whose edges are its own the other way round."""
        follows = (1, 0) if self.is_directed else (0,)
        first = len(follows)
        return follows + ((first + 1, first) if self.has_mentions else ())


@dataclass(frozen=True, slots=True, kw_only=True)
class UserConfig:
    """How posts become R^I and R^T of a user, and the three views one representation R.

    `modality_dropout` is the chance that training hides a user's R^I, or R^T, from the graph
    encoder where the user has both.
    """

    post_pooling: PostPooling = "mean"
    fusion: Fusion = "concat"
    modality_dropout: float = 0.0

    def __post_init__(self) -> None:
        check_bounds(self, "users")


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectiveConfig:
    """How the five objectives hide, contrast and weigh.

    `hard_strangers` says how the half of the strangers is drawn that is not uniform.
    """

    language_modelling: LanguageModelling = "masked"
    lm_mask_rate: float = 0.15
    lm_label_smoothing: float = 0.1
    alignment_width: int = 256
    alignment_temperature: float = 0.07
    contrast: Contrast = "infonce"
    contrast_temperature: float = 0.2
    node_feature_loss: NodeFeatureLoss = "huber"
    node_mask_rate: float = 0.15
    edge_mask_rate: float = 0.15
    hard_strangers: HardStrangers = "degree"
    weighting: Weighting = "fixed"
    weight_lm: float = 1.0
    weight_alignment: float = 1.0
    weight_contrast: float = 3.0
    weight_node_feature: float = 0.25
    weight_graph_structure: float = 1.0

    def __post_init__(self) -> None:
        check_bounds(self, "objectives")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleConfig:
    """Steps, batch sizes and learning rates.

    Phase 0 trains the encoders on language modelling and alignment alone. Then, `alternating`,
    `num_rounds` times: (A) the encoders with the graph contrastive loss, (B) the graph encoder;
    or, `joint`, `num_rounds * num_encoder_steps` steps of all objectives at once. Each step is
    the mean of `num_microbatches` batches. Encoders that began at pretrained weights move at
    `pretrained_learning_rate`, the heads on them at the encoders'.
    """

    num_phase0_steps: int
    num_rounds: int
    num_encoder_steps: int
    num_graph_steps: int
    num_lm_posts: int
    num_alignment_pairs: int
    num_contrast_pairs: int
    num_contrast_posts: int
    num_bank_negatives: int
    num_edge_targets: int
    order: Order = "alternating"
    num_microbatches: int = 1
    num_inference_posts: int = 32
    encoder_learning_rate: float = 1e-3
    graph_learning_rate: float = 1e-3
    pretrained_learning_rate: float = 2e-5
    weight_decay: float = 0.01
    warmup_rate: float = 0.1
    max_gradient_norm: float = 1.0
    num_steps_per_checkpoint: int = 25

    def __post_init__(self) -> None:
        check_bounds(self, "schedule")


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputeConfig:
    """How a step is computed; up to rounding, none of this changes what it computes.

    `num_ahead` batches are drawn while earlier ones are computed. `compiled` runs the encoders
    through torch.compile, `checkpointed` computes their activations again in the backward pass.
    Every `num_steps_per_gradient_norm` steps, which then take one more backward pass, the gradient
    of each term is measured alone (0: never).
    """

    precision: Precision = "fp32"
    compiled: bool = False
    checkpointed: bool = False
    num_ahead: int = 2
    num_steps_per_gradient_norm: int = 25

    def __post_init__(self) -> None:
        check_bounds(self, "compute")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """Everything that, with a snapshot and a seed, determines a training run."""

    recipe: str
    text: TextEncoderConfig
    image: ImageEncoderConfig
    graph: GraphEncoderConfig
    schedule: ScheduleConfig
    users: UserConfig = field(default_factory=UserConfig)
    objectives: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    compute: ComputeConfig = field(default_factory=ComputeConfig)
    sampler: Sampler = "snapshot"


def to_json(config: RunConfig) -> str:
    """The config as one JSON document, keys sorted."""
    return json.dumps(asdict(config), sort_keys=True, indent=1)


def from_json(document: str) -> RunConfig:
    """The config that `to_json` wrote; options that it did not know yet have their defaults.

    Raises RecipeUnknown where it holds an option that this software does not know, or lacks one.
    """
    parsed: RunConfig = _build(RunConfig, json.loads(document), "")
    return parsed


def check_layers(part: TextEncoderConfig | ImageEncoderConfig, name: str) -> None:
    """Raises RecipeUnknown for heads that do not share the width, or layers that are not there."""
    if part.width % part.num_heads:
        raise RecipeUnknown(
            f"{name}.num_heads {part.num_heads} does not divide {name}.width {part.width}; "
            "take one that does"
        )
    if (part.num_trained_layers or 0) > part.num_layers:
        raise RecipeUnknown(
            f"{name}.num_trained_layers is {part.num_trained_layers} of {part.num_layers} layers; "
            "take fewer, or none to train all"
        )


def _build(kind: Any, values: dict[str, Any], prefix: str) -> Any:
    hints = get_type_hints(kind)
    known = {entry.name: entry for entry in fields(kind)}
    if unknown := [name for name in values if name not in known]:
        raise RecipeUnknown(f"no option {prefix}{unknown[0]}: a newer version wrote this config")
    given: dict[str, Any] = {}
    for name, entry in known.items():
        if name in values:
            value, nested = values[name], hints[name]
            if is_dataclass(nested):
                value = _build(nested, value, f"{prefix}{name}.")
            given[name] = tuple(value) if isinstance(value, list) else value
        elif entry.default is MISSING and entry.default_factory is MISSING:
            raise RecipeUnknown(f"option {prefix}{name} is missing: an older version wrote this")
    return kind(**given)
