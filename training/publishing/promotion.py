"""Promotion: a generation must not be worse than the one that is served.

R of the candidate and of each rival are computed over the same snapshot without its held-out
follows, and a head over R alone is fitted alike to each. On the test folds, against both kinds of
negatives, the candidate's AUC may lie below a rival's by

    max(margin, 2 standard errors of the paired difference)

and not by more. The rivals are the active generation and its *reference*: the best generation that
its promotion met, itself included, so that losses within the margin do not add up. A single count
that ranks better than R is a flaw only where the active generation is above that count.

Shapes: N users, D width of R, Q pairs.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featurestore.errors import GenerationMissing
from featurestore.generations.generation import Generation, Generations
from featurestore.representation import representation
from graphdb.pair_counts import COUNT_NAMES
from graphdb.snapshot.snapshot import Snapshot
from training.encoding.generation import drop_encodings
from training.evaluation.evaluator import Evaluator
from training.evaluation.link_metrics import both_aucs
from training.evaluation.paired_auc import KINDS, PairedDifference, paired_differences
from training.publishing.catch_up import Encode
from training.publishing.checks import Check
from training.publishing.publication import by_modality
from training.publishing.stores import Stores
from training.publishing.trial import Trial

NAME = "not worse"
ACTIVE, REFERENCE, EVALUATED = "active", "reference", "evaluated"
NUM_STANDARD_ERRORS = 2
AGAINST = {"same_followee": "negatives of the same followee", "uniform": "uniform negatives"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A candidate beside a rival, by kind of negatives."""

    role: str
    generation_id: str
    differences: Mapping[str, PairedDifference]

    def flaws(self, margin: float) -> Iterator[str]:
        """Where the candidate is worse than the rival."""
        for kind, each in self.differences.items():
            allowed = max(margin, NUM_STANDARD_ERRORS * each.standard_error)
            if each.difference < -allowed:
                yield (
                    f"AUC {each.auc:.4f} against {AGAINST[kind]} is below the {each.other_auc:.4f} "
                    f"of {self.generation_id} ({self.role}) by more than {allowed:.4f}"
                )

    @property
    def gain(self) -> float:
        """The difference, averaged over the kinds of negatives."""
        return float(np.mean([each.difference for each in self.differences.values()]))

    def figures(self) -> dict[str, Any]:
        """Everything as JSON values."""
        found = {kind: asdict(each) for kind, each in self.differences.items()}
        return {"generation": self.generation_id, **found}


def not_worse(candidate_id: str, trial: Trial | None, stores: Stores, encode: Encode) -> Check:
    """Compare a candidate with its rivals.

    The first generation has none and passes. Without a trial, since too few follows are held out, a
    candidate passes where the active generation had none either. Raises GenerationMissing when the
    folder of the active generation is gone.
    """
    known, active_id = stores.generations, stores.online.pointer().active
    alone = {EVALUATED: trial is not None, REFERENCE: candidate_id}
    if active_id is None:
        return Check(name=NAME, flaws=(), figures=alone)
    if trial is None:
        flaw = f"too few follows are held out to compare it with {active_id} ({ACTIVE})"
        must_compare = recorded_by(active_id, known).get(EVALUATED, False)
        return Check(name=NAME, flaws=(flaw,) if must_compare else (), figures=alone)
    scores_Q, pairs = trial.scores(trial.R_ND), trial.evaluator.test.pairs
    compared = []
    for role, rival in rivals_of(known.get(active_id), known):
        rival_Q = trial.scores(representation_of(rival, trial.snapshot, encode))
        drop_encodings(stores.training, rival.id)
        compared.append(
            Comparison(
                role=role,
                generation_id=rival.id,
                differences=paired_differences(pairs, scores_Q, rival_Q),
            )
        )
    return verdict_of(candidate_id, compared, best_counts(trial.evaluator), trial.margin)


def rivals_of(active: Generation, known: Generations) -> Iterator[tuple[str, Generation]]:
    """The active generation, and its reference where that is another one that is still kept."""
    yield ACTIVE, active
    reference = reference_of(active, known)
    if reference is not None and reference.id != active.id:
        yield REFERENCE, reference


def reference_of(generation: Generation, known: Generations) -> Generation | None:
    """The reference that the promotion of a generation recorded; None where it is not kept."""
    reference_id = recorded_by(generation.id, known).get(REFERENCE)
    try:
        return known.get(reference_id) if reference_id else None
    except GenerationMissing:
        return None


def recorded_by(generation_id: str, known: Generations) -> Mapping[str, Any]:
    """What the promotion of a generation recorded of this check."""
    verdict = known.verdicts(generation_id).promotion()
    figures: Mapping[str, Any] = verdict.figures.get(NAME, {}) if verdict else {}
    return figures


def representation_of(
    generation: Generation, snapshot: Snapshot, encode: Encode
) -> NDArray[np.float32]:
    """R (N, D) of a snapshot's users by a sealed generation, without held-out follows."""
    vectors = encode(generation, snapshot, all_follows=False)
    return representation(**by_modality(vectors), scales=generation.scales)


def best_counts(evaluator: Evaluator) -> dict[str, tuple[str, float]]:
    """The single count that ranks best, and its AUC, by kind of negatives."""
    test = evaluator.test
    aucs = {
        name: dict(zip(KINDS, both_aucs(test.pairs, column), strict=True))
        for name, column in zip(COUNT_NAMES, test.counts.T, strict=True)
    }
    best = {kind: max(aucs, key=lambda name: aucs[name][kind]) for kind in KINDS}
    return {kind: (name, aucs[name][kind]) for kind, name in best.items()}


def verdict_of(
    candidate_id: str,
    compared: Sequence[Comparison],
    counts: Mapping[str, tuple[str, float]],
    margin: float,
) -> Check:
    """The flaws of a candidate beside its rivals, the active generation first."""
    flaws = [flaw for each in compared for flaw in each.flaws(margin)]
    flaws += lost_to_counts(compared[0], counts)
    best = min(compared, key=lambda each: each.gain)
    return Check(
        name=NAME,
        flaws=tuple(flaws),
        figures={
            EVALUATED: True,
            "margin": margin,
            REFERENCE: candidate_id if best.gain >= 0 else best.generation_id,
            "counts": dict(counts),
            "compared": {each.role: each.figures() for each in compared},
        },
    )


def lost_to_counts(active: Comparison, counts: Mapping[str, tuple[str, float]]) -> Iterator[str]:
    """Where a single count is above the candidate, and the active generation is above that."""
    for kind, (name, auc) in counts.items():
        each = active.differences[kind]
        if each.auc < auc <= each.other_auc:
            yield (
                f"AUC {each.auc:.4f} against {AGAINST[kind]} is below the {auc:.4f} of the count "
                f"{name}, and {active.generation_id} ({ACTIVE}) is not"
            )
