"""A training run as a frozen value: recipes are functions that return one.

Options follow METHODS of the papers: a default that was measured, and the paper's literal form
beside it (`paper_literal`). Widths are in floats, `num_` are counts, rates are in [0, 1].
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from typing import Any, Literal, get_type_hints

from training.errors import RecipeUnknown

GateInput = Literal["distance", "concat"]
GateNormalisation = Literal["sigmoid", "softmax", "raw"]
Edges = Literal["mutual", "follows"]
NodeFeatures = Literal["X+R", "X"]
Contrast = Literal["infonce", "pairwise", "paper_literal"]
Pooling = Literal["cls", "mean"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TextEncoderConfig:
    """A BERT encoder (eq. 2) and the ids of the special tokens of its vocabulary.

    `initializer_range` is the deviation of the first weights. BERT's 0.02 suits its width of 768;
    narrow encoders that learn from scratch need about width ** -0.5, or attention and output stay
    flat for hundreds of steps.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageEncoderConfig:
    """A ViT encoder (eq. 1) over square images."""

    image_size: int
    patch_size: int
    width: int
    num_layers: int
    num_heads: int
    feedforward_width: int
    initializer_range: float = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphEncoderConfig:
    """The graph encoder with its M-Gate (eq. 3-6).

    `fan_outs[k]` bounds the neighbours, of each relation, of the k-th hop from a seed.
    `signature_width` adds a fixed pseudo-random vector of each user, a hash of the id, to the
    node features: summed over neighbours it tells who they are, so that products of two users'
    vectors can count shared neighbours; 0 leaves it out. `literal_propagation` is eq. 6 as
    printed, without linear map, LayerNorm and activation; `literal_gate` is eq. 5 as printed, one
    linear map of the raw inputs.
    """

    width: int
    fan_outs: tuple[int, ...]
    edges: Edges = "mutual"
    node_features: NodeFeatures = "X+R"
    signature_width: int = 0
    gate_input: GateInput = "distance"
    gate_normalisation: GateNormalisation = "sigmoid"
    gate_width: int = 32
    literal_gate: bool = False
    literal_propagation: bool = False
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.gate_normalisation == "softmax" and self.gate_input == "concat":
            raise RecipeUnknown(
                "gate_normalisation softmax with gate_input concat gives every target the same "
                "weights; take gate_input distance"
            )

    @property
    def num_layers(self) -> int:
        """One layer a hop."""
        return len(self.fan_outs)

    @property
    def num_relations(self) -> int:
        """Edge types that have a linear map and a gate channel of their own."""
        return {"mutual": 1, "follows": 2}[self.edges]


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectiveConfig:
    """How the five objectives hide, contrast and weigh."""

    lm_mask_rate: float = 0.15
    lm_label_smoothing: float = 0.1
    alignment_width: int = 256
    alignment_temperature: float = 0.07
    contrast: Contrast = "infonce"
    contrast_temperature: float = 0.2
    node_mask_rate: float = 0.15
    edge_mask_rate: float = 0.15
    weight_lm: float = 1.0
    weight_alignment: float = 1.0
    weight_contrast: float = 3.0
    weight_node_feature: float = 0.25
    weight_graph_structure: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleConfig:
    """Steps, batch sizes and learning rates of the alternating schedule.

    Phase 0 trains the encoders on language modelling and alignment alone. Then `num_rounds`
    times: (A) the encoders with the graph contrastive loss, (B) the graph encoder.
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
    num_inference_posts: int = 32
    encoder_learning_rate: float = 1e-3
    graph_learning_rate: float = 1e-3
    weight_decay: float = 0.01
    warmup_rate: float = 0.1
    max_gradient_norm: float = 1.0
    num_steps_per_checkpoint: int = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """Everything that, with a snapshot and a seed, determines a training run."""

    recipe: str
    text: TextEncoderConfig
    image: ImageEncoderConfig
    graph: GraphEncoderConfig
    schedule: ScheduleConfig
    objectives: ObjectiveConfig = field(default_factory=ObjectiveConfig)


def tiny() -> RunConfig:
    """Encoders from scratch, small enough for a CPU: a minute or two on a few hundred users.

    Chosen on the choosing folds of 366 real users, one or two seeds: directed follows as edges
    (link head AUC 0.912 against 0.898 with mutual ones, at initial weights already); no stale bank
    vectors as negatives (with 64 of them the text vectors fell from 0.79 to 0.70); learning rate
    1e-3 of the graph encoder. Pooling ([CLS] 0.786, mean 0.792) and signatures made no difference
    beyond noise.
    """
    return RunConfig(
        recipe="tiny",
        text=TextEncoderConfig(
            vocabulary_size=6_000,
            max_tokens=48,
            width=128,
            num_layers=2,
            num_heads=4,
            feedforward_width=256,
            initializer_range=0.09,
        ),
        image=ImageEncoderConfig(
            image_size=64,
            patch_size=16,
            width=64,
            num_layers=2,
            num_heads=4,
            feedforward_width=128,
            initializer_range=0.12,
        ),
        graph=GraphEncoderConfig(width=64, fan_outs=(64, 64), edges="follows", signature_width=64),
        schedule=ScheduleConfig(
            num_phase0_steps=60,
            num_rounds=2,
            num_encoder_steps=50,
            num_graph_steps=75,
            num_lm_posts=32,
            num_alignment_pairs=32,
            num_contrast_pairs=32,
            num_contrast_posts=4,
            num_bank_negatives=0,
            num_edge_targets=2048,
        ),
    )


def smoke() -> RunConfig:
    """A few steps of `tiny`: shows in a minute that an installation works, and learns nothing."""
    config = tiny()
    schedule = replace(
        config.schedule,
        num_phase0_steps=2,
        num_rounds=1,
        num_encoder_steps=2,
        num_graph_steps=4,
        num_lm_posts=8,
        num_alignment_pairs=8,
        num_contrast_pairs=8,
        num_edge_targets=256,
    )
    return replace(config, recipe="smoke", schedule=schedule)


RECIPES: dict[str, Callable[[], RunConfig]] = {"smoke": smoke, "tiny": tiny}


def recipe(name: str) -> RunConfig:
    """The run config of a recipe. Raises RecipeUnknown."""
    if name not in RECIPES:
        raise RecipeUnknown(f"no recipe {name!r}; there is: {', '.join(sorted(RECIPES))}")
    return RECIPES[name]()


def paper_literal(config: RunConfig) -> RunConfig:
    """The same run in the forms that the paper prints, wherever ours differ.

    Mutual edges, X alone as node features, the gate one linear map of the raw concatenation
    (eq. 5), eq. 6 without linear map and normalisation, eq. 7 with its last ReLU, weights 1.
    """
    graph = replace(
        config.graph,
        edges="mutual",
        node_features="X",
        signature_width=0,
        gate_input="concat",
        gate_normalisation="raw",
        literal_gate=True,
        literal_propagation=True,
    )
    objectives = replace(
        config.objectives, contrast="paper_literal", weight_contrast=1.0, weight_node_feature=1.0
    )
    text = replace(config.text, pooling="cls")
    return replace(
        config,
        recipe=f"{config.recipe}+paper_literal",
        text=text,
        graph=graph,
        objectives=objectives,
    )


def to_json(config: RunConfig) -> str:
    """The config as one JSON document, keys sorted."""
    return json.dumps(asdict(config), sort_keys=True, indent=1)


def from_json(document: str) -> RunConfig:
    """The config that `to_json` wrote."""
    parsed: RunConfig = _build(RunConfig, json.loads(document))
    return parsed


def _build(kind: Any, values: dict[str, Any]) -> Any:
    hints = get_type_hints(kind)
    given: dict[str, Any] = {}
    for entry in fields(kind):
        value = values[entry.name]
        nested = hints[entry.name]
        if is_dataclass(nested):
            value = _build(nested, value)
        given[entry.name] = tuple(value) if isinstance(value, list) else value
    return kind(**given)
