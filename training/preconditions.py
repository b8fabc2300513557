"""What must hold before a run begins."""

from training.batches import PostPools
from training.config import RunConfig
from training.errors import NothingToTrain, RecipeUnknown
from training.schedule import plan
from training.training_data import TrainingData
from training.weighting import PHASE_TERMS, weights


def check_enough(data: TrainingData, posts: PostPools) -> None:
    """Raises NothingToTrain when a phase would have nothing to draw from."""
    if not data.source.num_edges:
        kind = "follows" if data.source.is_directed else "mutual follows"
        raise NothingToTrain(f"no {kind} are left to train on; ingest follows first")
    if not len(posts.captioned):
        raise NothingToTrain("no post has a caption; ingest posts first")


def check_weights(config: RunConfig) -> None:
    """Raises RecipeUnknown when all terms of a phase weigh nothing."""
    weight = weights(config.objectives)
    for stage in plan(config.schedule):
        terms = PHASE_TERMS[stage.phase]
        if not any(weight[name] for name in terms):
            raise RecipeUnknown(
                f"phase {stage.phase} has no objective with a weight ({', '.join(terms)}); "
                "give one a weight or take its steps out of the schedule"
            )
