"""The verdict of promotion: the checks that a generation has to pass before it is served."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from featurestore.generations.soundness import sound
from featurestore.generations.verdicts import Verdict, VerdictLog
from training.publishing.publication import Publication, by_modality


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check by name: its flaws, none where it is passed, and the figures that it measured."""

    name: str
    flaws: tuple[str, ...]
    figures: Mapping[str, Any] = field(default_factory=dict)


def judged(publication: Publication, log: VerdictLog) -> Verdict:
    """The verdict on this publication, given now or by an earlier attempt."""
    return log.promotion() or recorded(checks(publication), log)


def checks(publication: Publication) -> list[Check]:
    """All checks of promotion."""
    return [soundness(publication)]


def recorded(found: list[Check], log: VerdictLog) -> Verdict:
    """The verdict that these checks come to, put into the log."""
    reasons = tuple(f"{check.name}: {flaw}" for check in found for flaw in check.flaws)
    figures = {check.name: dict(check.figures) for check in found}
    verdict = Verdict(kind="promotion", ok=not reasons, reasons=reasons, figures=figures)
    log.append(verdict)
    return verdict


def soundness(publication: Publication) -> Check:
    """Whether the vectors are complete, finite and not collapsed."""
    vectors = publication.vectors
    found = sound(
        by_modality(vectors),
        publication.snapshot.num_users,
        has={"image": vectors.has_image, "text": vectors.has_text},
    )
    figures = {"spread": dict(found.spread), "effective_rank": dict(found.effective_rank)}
    return Check(name="sound", flaws=found.reasons, figures=figures)
