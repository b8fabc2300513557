"""Sending the events of dead letters again, where they are no longer rejected."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from graphdb.store import GraphStore
from ingest.dead_letters.dead_letter import DeadLetter, DeadLetters, Settlement
from ingest.events.decoding import Decoded, decode
from ingest.events.labels import LabelDecoder
from ingest.media_folder import media_folder

DEAD_LETTERS_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """The outcome of a replay of dead letters."""

    num_replayed: int = 0
    num_still_rejected: int = 0
    num_cut: int = 0

    def __add__(self, other: "Replay") -> "Replay":
        return Replay(
            num_replayed=self.num_replayed + other.num_replayed,
            num_still_rejected=self.num_still_rejected + other.num_still_rejected,
            num_cut=self.num_cut + other.num_cut,
        )

    def __str__(self) -> str:
        return (
            f"{self.num_replayed:,} events sent again, {self.num_still_rejected:,} still rejected,"
            f" {self.num_cut:,} cannot be sent because they were cut"
        )


@runtime_checkable
class Replayable(Protocol):
    """Dead letters that know where their events have to go."""

    def replay(self) -> Replay:
        """Send the events that are no longer rejected where they came from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rechecked:
    """The dead letters whose events are no longer rejected, and the numbers of the others."""

    accepted: list[DeadLetter]
    num_still_rejected: int
    num_cut: int

    @property
    def replay(self) -> Replay:
        """The totals, once the accepted ones have been sent."""
        return Replay(
            num_replayed=len(self.accepted),
            num_still_rejected=self.num_still_rejected,
            num_cut=self.num_cut,
        )


def recheck(letters: Sequence[DeadLetter]) -> Rechecked:
    """Decode the events of dead letters again, by the rules and the clock of this moment."""
    whole = [letter for letter in letters if not letter.payload.is_cut]
    accepted: list[DeadLetter] = []
    for alike, decoded in _decoded(whole):
        rejected = {index for index, _ in decoded.rejected}
        accepted += [letter for index, letter in enumerate(alike) if index not in rejected]
    return Rechecked(
        accepted=accepted,
        num_still_rejected=len(whole) - len(accepted),
        num_cut=len(letters) - len(whole),
    )


def replay_into(letters: DeadLetters, graph: GraphStore, media_root: Path | None = None) -> Replay:
    """Send the events that are no longer rejected again, and forget their dead letters.

    They may be applied twice, which is harmless. Paths of images start where they do in ingest.
    """
    if isinstance(letters, Replayable):
        return letters.replay()
    rechecked = recheck(letters.read())
    for first in range(0, len(rechecked.accepted), DEAD_LETTERS_AT_ONCE):
        page = rechecked.accepted[first : first + DEAD_LETTERS_AT_ONCE]
        for _, decoded in _decoded(page, media_root):
            graph.apply(decoded.batch())
        letters.settle([Settlement.of(letter) for letter in page])
    letters.trim(older_than=0)
    return rechecked.replay


def _decoded(
    letters: Sequence[DeadLetter], media_root: Path | None = None
) -> Iterator[tuple[list[DeadLetter], Decoded]]:
    """The dead letters that one decoder judged in one folder, with what it says of them now."""
    alike: dict[tuple[str | None, str], list[DeadLetter]] = {}
    for letter in letters:
        folder = media_folder(letter.source, media_root)
        alike.setdefault((letter.labels_time, folder), []).append(letter)
    for (labels_time, folder), group in alike.items():
        judge = decode if labels_time is None else LabelDecoder(time=labels_time)
        contents = [letter.payload.content for letter in group]
        yield group, judge(contents, time.time_ns() // 1000, folder)
