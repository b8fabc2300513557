"""The pointer record: which generation is served, which one a rollback serves, which are pinned.

The online store keeps one record a project, beside the vectors, and replaces it in one write.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from featurestore.definitions import checked


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointer:
    """The active generation, the one before it, the pinned ones, and the last activation.

    `time` (microseconds) and `reason` are those of the activation of `active`.
    """

    active: str | None = None
    previous: str | None = None
    pinned: tuple[str, ...] = ()
    reason: str = ""
    time: int = 0

    @property
    def kept(self) -> frozenset[str]:
        """The generations that cannot be dropped: active, previous and pinned."""
        served = {each for each in (self.active, self.previous) if each is not None}
        return frozenset(served.union(self.pinned))

    def activated(self, generation_id: str, *, reason: str, time: int) -> "Pointer":
        """With this generation active and the one before it previous; the same if it is active."""
        if generation_id == self.active:
            return self
        return replace(
            self,
            active=checked(generation_id),
            previous=self.active,
            reason=reason,
            time=time,
        )

    def with_pin(self, generation_id: str) -> "Pointer":
        """With this generation pinned."""
        return replace(self, pinned=tuple(sorted({*self.pinned, checked(generation_id)})))

    def without_pin(self, generation_id: str) -> "Pointer":
        """With this generation not pinned."""
        return replace(self, pinned=tuple(each for each in self.pinned if each != generation_id))


PointerChange = Callable[[Pointer], Pointer]
"""A pure function of the record; it may be called again when another process was first."""


def to_text(pointer: Pointer) -> str:
    """The record as JSON."""
    return json.dumps(asdict(pointer))


def from_text(text: str | bytes | None) -> Pointer:
    """The record of a JSON text; that of no generation where there is none."""
    if text is None:
        return Pointer()
    values = json.loads(text)
    return Pointer(**{**values, "pinned": tuple(values["pinned"])})
