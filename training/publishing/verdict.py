"""The verdict of promotion: the checks that a generation has to pass before it is served."""

from collections.abc import Iterable, Iterator

from featurestore.generations.soundness import sound
from featurestore.generations.verdicts import Verdict, VerdictLog
from training.publishing.catch_up import Encode
from training.publishing.checks import Check
from training.publishing.promotion import not_worse
from training.publishing.publication import Publication, by_modality
from training.publishing.stores import Stores


def judged(publication: Publication, stores: Stores, encode: Encode) -> Verdict:
    """The verdict on this publication, given now or by an earlier attempt."""
    log = stores.generations.verdicts(publication.generation_id)
    return log.promotion() or recorded(checks(publication, stores, encode), log)


def checks(publication: Publication, stores: Stores, encode: Encode) -> Iterator[Check]:
    """The checks of promotion; the costly one only for vectors that are sound."""
    check = soundness(publication)
    yield check
    if not check.flaws:
        yield not_worse(publication.generation_id, publication.trial, stores, encode)


def recorded(checks: Iterable[Check], log: VerdictLog) -> Verdict:
    """The verdict that these checks come to, put into the log."""
    found = list(checks)
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
