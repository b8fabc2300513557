"""How far the vectors of each generation have come, and what was judged of it."""

from dataclasses import dataclass
from datetime import datetime

from featurestore.definitions import representation_name
from featurestore.generations.generation import Generation, Generations
from featurestore.online.pointer import Pointer
from featurestore.online.store import OnlineStore
from foundation.watermark import Watermark


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationProgress:
    """One generation: its roles, the graph version of its vectors, their lag, its age.

    `watermark` and `lag_seconds` are None where it has no vectors of this graph online; the lag is
    from the commit that they are complete up to, to the newest one. `verdict` is the last one.
    """

    id: str
    is_active: bool
    is_previous: bool
    is_pinned: bool
    watermark: int | None
    lag_seconds: float | None
    age_seconds: float
    verdict: str | None


def generations_progress(
    generations: Generations, online: OnlineStore | None, head: Watermark, now: datetime
) -> list[GenerationProgress]:
    """All generations, oldest first; `head` is the graph's newest version."""
    pointer = Pointer() if online is None else online.pointer()
    return [
        _progress(generations, generation, online, pointer, head, now)
        for generation in generations.list()
    ]


def _progress(
    generations: Generations,
    generation: Generation,
    online: OnlineStore | None,
    pointer: Pointer,
    head: Watermark,
    now: datetime,
) -> GenerationProgress:
    mark = None if online is None else online.watermark(representation_name(generation.id))
    if mark is not None and (mark.graph_id != head.graph_id or mark.version > head.version):
        mark = None
    created = datetime.fromisoformat(str(generation.manifest["created_at"]))
    verdict = generations.verdicts(generation.id).last()
    lag = None if mark is None else max(0, head.commit_time - mark.commit_time) / 1_000_000
    return GenerationProgress(
        id=generation.id,
        is_active=generation.id == pointer.active,
        is_previous=generation.id == pointer.previous,
        is_pinned=generation.id in pointer.pinned,
        watermark=None if mark is None else mark.version,
        lag_seconds=lag,
        age_seconds=max(0.0, (now - created).total_seconds()),
        verdict=None if verdict is None else verdict.outcome,
    )
