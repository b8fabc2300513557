"""Which dead letters are settled because their positions were read again without rejection."""

import logging
import time
from bisect import bisect_left, insort
from collections.abc import Sequence

from ingest.dead_letters.dead_letter import DeadLetter, DeadLetters, Settlement
from ingest.errors import BrokerRefused
from ingest.sources.source import Records

logger = logging.getLogger(__name__)


class Settling:
    """Settles the dead letters of what is read again, after its commit.

    A position is read again after `--from`, after a file was put right, with a new graph. All dead
    letters of the bytes or messages that a batch covers are settled, but those that it has itself:
    where a file has changed, its events begin at other offsets.
    """

    def __init__(self, letters: DeadLetters) -> None:
        self._letters = letters
        self._offsets: dict[tuple[str, int], list[int]] = {}
        self._due: list[Settlement] = []

    def look(self) -> None:
        """Learn which dead letters there are; to be called where reading starts anew.

        Who may write them but not read them settles none. Raises BrokerUnreachable.
        """
        self._offsets = {}
        try:
            positions = self._letters.positions()
        except BrokerRefused as error:
            logger.warning("no dead letter is settled: %s", error)
            return
        for source, partition, offset in positions:
            insort(self._offsets.setdefault((source, partition), []), offset)

    def committed(self, runs: Sequence[Records], letters: Sequence[DeadLetter]) -> None:
        """A batch was committed: what it covers is due to be settled, except its own letters."""
        own = {letter.position for letter in letters}
        now = time.time_ns() // 1000
        for run in runs:
            source, partition = run.move.next.source, run.move.next.partition
            self._due += [
                Settlement(source=source, partition=partition, offset=offset, settled_at=now)
                for offset in self._take(run)
                if (source, partition, offset) not in own
            ]

    def settle(self) -> None:
        """Settle what is due. Raises as DeadLetters does; then it stays due."""
        if self._due:
            self._letters.settle(self._due)
            self._due = []

    def _take(self, run: Records) -> list[int]:
        """The offsets of dead letters that a run covers; they are not looked at again."""
        offsets = self._offsets.get((run.move.next.source, run.move.next.partition))
        if not offsets:
            return []
        first = bisect_left(offsets, run.begin)
        last = len(offsets) if run.is_last else bisect_left(offsets, run.move.next.offset)
        taken = offsets[first:last]
        del offsets[first:last]
        return taken
