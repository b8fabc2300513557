"""Evaluation of a run: every seed before and after training, beside the baselines."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from featurestore.representation import fit_scales, representation
from training.encoding.all_users import UserVectors
from training.engine.progress import Reporter
from training.evaluation.comparison import Evaluation, compare
from training.evaluation.evaluator import Evaluator, Scores, prepare_evaluator
from training.evaluation.modality_cosine import Modality
from training.evaluation.user_texts import read_user_texts
from training.mmga.config import Fusion
from training.runs.run import TrainedRun

EVALUATION_SEED = 0
"""One draw of negatives and examples for all seeds, so that seeds differ by training only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEvaluation:
    """The comparison over seeds, the figures and heads of each trained seed, and the evaluator."""

    evaluator: Evaluator
    evaluation: Evaluation
    trained: tuple[Scores, ...]


def evaluate_run(trained: TrainedRun, reporter: Reporter) -> RunEvaluation:
    """Evaluate the run on held-out follows and labels. Raises EvaluationImpossible."""
    reporter.say("evaluation: counts round held-out follows, and the baselines")
    texts = read_user_texts(trained.snapshot, trained.texts)
    evaluator = prepare_evaluator(trained.snapshot, texts, seed=EVALUATION_SEED)
    baselines = evaluator.baselines()
    fusion = trained.run.config.users.fusion
    initial, after = [], []
    for vectors in trained.vectors:
        reporter.say(f"evaluation: seed {vectors.seed}")
        initial.append(
            evaluator.score(
                representation_of(vectors.initial, fusion), modalities_of(vectors.initial)
            )
        )
        after.append(
            evaluator.score(
                representation_of(vectors.trained, fusion), modalities_of(vectors.trained)
            )
        )
    return RunEvaluation(
        evaluator=evaluator,
        evaluation=compare(after, initial, baselines),
        trained=tuple(after),
    )


def representation_of(vectors: UserVectors, fusion: Fusion) -> NDArray[np.float32]:
    """R with the scales that publishing would fix for these vectors."""
    scales = scales_of(vectors, fusion)
    return representation(vectors.graph, vectors.image, vectors.text, scales)


def scales_of(vectors: UserVectors, fusion: Fusion) -> dict[str, float]:
    """The factor of each part of R. A fused R^G includes image and text, so their factor is 0."""
    scales = fit_scales(vectors.graph, vectors.image, vectors.text)
    return scales if fusion == "concat" else scales | {"image": 0.0, "text": 0.0}


def modalities_of(vectors: UserVectors) -> Mapping[str, Modality]:
    """The modalities, text and image, that any user has."""
    modalities = {
        "text": Modality(vectors=vectors.text, has=vectors.has_text),
        "images": Modality(vectors=vectors.image, has=vectors.has_image),
    }
    return {name: modality for name, modality in modalities.items() if modality.has.any()}
