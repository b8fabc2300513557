"""Checks of data and configuration before a run begins."""

from training.errors import ConfigInvalid, NothingToTrain
from training.mmga.batches import PostPools
from training.mmga.config import RunConfig
from training.mmga.loss_weights import PHASE_TERMS, weights
from training.mmga.phases import plan
from training.mmga.training_data import TrainingData
from training.networks.config import ImageEncoderConfig, TextEncoderConfig
from training.sampling.source import GraphSource


def check_enough(data: TrainingData, posts: PostPools) -> None:
    """Raises NothingToTrain when a phase has no data."""
    check_follows(data.source)
    if not len(posts.captioned):
        raise NothingToTrain("no post has a caption; ingest posts first")


def check_follows(source: GraphSource) -> None:
    """Raises NothingToTrain when no edge is left besides those that are held out."""
    if not source.num_edges:
        kind = "follows" if source.is_directed else "mutual follows"
        raise NothingToTrain(f"no {kind} are left to train on; ingest follows first")


def check_weights(config: RunConfig) -> None:
    """Raises ConfigInvalid when all terms of a phase have weight 0 or no trainable parameters."""
    weight = weights(config.objectives)
    for stage in plan(config.phases):
        terms = PHASE_TERMS[stage.phase]
        weighted = [name for name in terms if weight[name]]
        if not weighted:
            raise ConfigInvalid(
                f"phase {stage.phase} has no objective with a weight ({', '.join(terms)}); "
                "give one a weight or take its steps out of the phases"
            )
        if not any(moves_anything(config, name) for name in weighted):
            raise ConfigInvalid(
                f"phase {stage.phase} has nothing to move: {' and '.join(weighted)} of frozen "
                "encoders alone; train some of their layers (num_trained_layers), give language "
                "modelling or alignment a weight, or take the steps out of the phases"
            )


def moves_anything(config: RunConfig, term: str) -> bool:
    """Whether a term has trainable parameters; only a contrast may have none."""
    contrasted: dict[str, ImageEncoderConfig | TextEncoderConfig] = {
        "contrast_image": config.image,
        "contrast_text": config.text,
    }
    return (
        term not in contrasted
        or contrasted[term].num_trained_layers != 0
        or config.objectives.contrast != "infonce"
        or config.users.post_pooling == "attention"
    )
