"""Which dead letters a person means, and giving them up."""

from collections.abc import Sequence
from dataclasses import dataclass

from ingest.dead_letters.dead_letter import DeadLetter, DeadLetters, Settlement


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Dead letters that meet all conditions; without any, all of them.

    `names` are SOURCE:PARTITION:OFFSET as they are listed; `source` is the path of a file, or a
    topic by its whole name or its last part; `reason` is a part of the reason; `before` is the time
    (microseconds) before which they were recorded.
    """

    names: frozenset[str] = frozenset()
    source: str | None = None
    reason: str | None = None
    before: int | None = None

    def of(self, letters: Sequence[DeadLetter]) -> list[DeadLetter]:
        """Those of the dead letters that are meant."""
        return [letter for letter in letters if self._means(letter)]

    def _means(self, letter: DeadLetter) -> bool:
        return (
            (not self.names or name_of(letter) in self.names)
            and (self.source is None or self.source in _names_of_source(letter))
            and (self.reason is None or self.reason.lower() in letter.reason.lower())
            and (self.before is None or letter.recorded_at < self.before)
        )


def name_of(letter: DeadLetter) -> str:
    """How a dead letter is listed and named."""
    return f"{letter.source}:{letter.partition}:{letter.offset}"


def drop(letters: DeadLetters, dropped: Sequence[DeadLetter]) -> None:
    """Give dead letters up for good; what is recorded at their positions later stays.

    An ingest may be running: it appends to the same log.
    """
    letters.settle([Settlement.of(letter) for letter in dropped])
    letters.trim(older_than=0)


def _names_of_source(letter: DeadLetter) -> tuple[str, str]:
    return letter.source, letter.source.rpartition("/")[2]
