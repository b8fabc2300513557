"""The configuration of a training run as a frozen value; `training.mmga.recipes` has named ones.

Where the paper leaves a choice open there is an option: `docs/mmga.md` gives the reason for each
default, and `paper_literal` selects the paper's form. Widths are in floats, `num_` are counts,
rates are in [0, 1]; the type of each number states its bounds.
"""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from msgspec import Meta

from training.errors import ConfigInvalid
from training.networks.config import (
    ComputeConfig,
    ImageEncoderConfig,
    PostPooling,
    TextEncoderConfig,
)
from training.options.bounds import Count, Fraction, NonNegative, Positive, Size, check_bounds
from training.sampling.config import Edges, HardNegatives, Sampler

GateInput = Literal["distance", "concat"]
GateNormalisation = Literal["sigmoid", "softmax", "tanh", "raw"]
NodeFeatures = Literal["X+R", "X"]
Contrast = Literal["infonce", "pairwise", "paper_literal"]
Fusion = Literal["concat", "gated"]
LanguageModelling = Literal["masked", "causal"]
NodeFeatureLoss = Literal["huber", "scaled_cosine"]
Weighting = Literal["fixed", "uncertainty"]
Order = Literal["alternating", "joint"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphEncoderConfig:
    """The graph encoder with its M-Gate (eq. 3-6).

    `fan_outs[k]` bounds the neighbours, of each relation, of the k-th hop from a seed.
    `signature_width` adds a fixed pseudo-random vector of each user, a hash of the id, to the
    node features: its sum over neighbours identifies them, so that products of two users'
    vectors can count shared neighbours; 0 disables it. `literal_propagation` is eq. 6 as
    printed, without linear map, LayerNorm and activation; `literal_gate` is eq. 5 as printed, one
    linear map of the raw inputs. With `per_layer_gates` each layer has its own gate; eq. 5 has one
    for all layers. With `per_relation_gates` the gate has one channel for each relation, else one
    for all relations.
    """

    width: Size
    fan_outs: Annotated[tuple[Size, ...], Meta(min_length=1)]
    edges: Edges = "mutual"
    node_features: NodeFeatures = "X+R"
    signature_width: Count = 0
    gate_input: GateInput = "distance"
    gate_normalisation: GateNormalisation = "sigmoid"
    gate_width: Size = 32
    per_layer_gates: bool = False
    per_relation_gates: bool = True
    literal_gate: bool = False
    literal_propagation: bool = False
    dropout: Fraction = 0.0

    def __post_init__(self) -> None:
        check_bounds(self, "graph")
        if self.gate_normalisation == "softmax" and self.gate_input == "concat":
            raise ConfigInvalid(
                "gate_normalisation softmax with gate_input concat gives every target the same "
                "weights; take gate_input distance"
            )
        if self.literal_propagation and self.dropout:
            raise ConfigInvalid(
                "literal_propagation is eq. 6 as printed, which has no dropout; take graph.dropout "
                "0"
            )
        if self.literal_gate and self.gate_input != "concat":
            raise ConfigInvalid(
                "literal_gate is eq. 5 as printed, which has no distances; take gate_input concat"
            )

    @property
    def num_layers(self) -> int:
        """Number of layers: one for each hop."""
        return len(self.fan_outs)

    @property
    def is_directed(self) -> bool:
        """Whether edges are directed follows; else they are mutual follows."""
        return self.edges.startswith("follows")

    @property
    def has_mentions(self) -> bool:
        """Whether mentions are edges too, one type for each direction."""
        return self.edges.endswith("+mentions")

    @property
    def num_relations(self) -> int:
        """Number of relations: edge types with their own linear map and gate channel."""
        return (2 if self.is_directed else 1) + (2 if self.has_mentions else 0)

    @property
    def num_gate_channels(self) -> int:
        """Number of output channels of the gate."""
        return self.num_relations if self.per_relation_gates else 1

    @property
    def reverse_relations(self) -> tuple[int, ...]:
        """For each relation, the relation with the reversed edges."""
        follows = (1, 0) if self.is_directed else (0,)
        first = len(follows)
        return follows + ((first + 1, first) if self.has_mentions else ())


@dataclass(frozen=True, slots=True, kw_only=True)
class UserConfig:
    """Pooling of posts to R^I and R^T of a user, and fusion of R^G, R^I and R^T to R.

    `modality_dropout` is the probability that training hides R^I or R^T of a user who has both from
    the graph encoder.
    """

    post_pooling: PostPooling = "mean"
    fusion: Fusion = "concat"
    modality_dropout: Fraction = 0.0

    def __post_init__(self) -> None:
        check_bounds(self, "users")


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectiveConfig:
    """Masking rates, contrasts, negatives and loss weights of the five objectives.

    Half of the negatives of graph structure modelling are uniform; `hard_negatives` says how the
    other half is drawn.
    """

    language_modelling: LanguageModelling = "masked"
    lm_mask_rate: Fraction = 0.15
    lm_label_smoothing: Fraction = 0.1
    alignment_width: Size = 256
    alignment_temperature: Positive = 0.07
    contrast: Contrast = "infonce"
    contrast_temperature: Positive = 0.2
    node_feature_loss: NodeFeatureLoss = "huber"
    node_mask_rate: Fraction = 0.15
    edge_mask_rate: Fraction = 0.15
    hard_negatives: HardNegatives = "degree"
    weighting: Weighting = "fixed"
    weight_lm: NonNegative = 1.0
    weight_alignment: NonNegative = 1.0
    weight_contrast: NonNegative = 3.0
    weight_node_feature: NonNegative = 0.25
    weight_graph_structure: NonNegative = 1.0

    def __post_init__(self) -> None:
        check_bounds(self, "objectives")


@dataclass(frozen=True, slots=True, kw_only=True)
class PhasesConfig:
    """Steps, batch sizes and learning rates.

    Phase 0 trains the encoders on language modelling and alignment alone. Then, `alternating`,
    `num_rounds` times: (A) the encoders with the graph contrastive loss, (B) the graph encoder;
    or, `joint`, `num_rounds * num_encoder_steps` steps of all objectives at once. Each step is
    the mean of `num_microbatches` batches. Encoders with pretrained weights are trained at
    `pretrained_learning_rate`, the heads on them at the learning rate of the encoders.
    """

    num_phase0_steps: Count
    num_rounds: Count
    num_encoder_steps: Count
    num_graph_steps: Count
    num_lm_posts: Size
    num_alignment_pairs: Count
    num_contrast_pairs: Count
    num_contrast_posts: Size
    num_bank_negatives: Count
    num_edge_targets: Size
    order: Order = "alternating"
    num_microbatches: Size = 1
    num_inference_posts: Size = 32
    encoder_learning_rate: Positive = 1e-3
    graph_learning_rate: Positive = 1e-3
    pretrained_learning_rate: Positive = 2e-5
    weight_decay: NonNegative = 0.01
    warmup_rate: Fraction = 0.1
    max_gradient_norm: Positive = 1.0
    num_steps_per_checkpoint: Size = 25

    def __post_init__(self) -> None:
        check_bounds(self, "phases")


@dataclass(frozen=True, slots=True, kw_only=True)
class PromotionConfig:
    """How far below the active generation a new one may be, in AUC, and still replace it."""

    margin: NonNegative = 0.005

    def __post_init__(self) -> None:
        check_bounds(self, "promotion")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """Everything that, with a snapshot and a seed, determines a training run and its promotion."""

    recipe: str
    text: TextEncoderConfig
    image: ImageEncoderConfig
    graph: GraphEncoderConfig
    phases: PhasesConfig
    users: UserConfig = field(default_factory=UserConfig)
    objectives: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    compute: ComputeConfig = field(default_factory=ComputeConfig)
    promotion: PromotionConfig = field(default_factory=PromotionConfig)
    sampler: Sampler = "snapshot"
