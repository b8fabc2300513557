"""Sending the events of dead letters again, where they are no longer rejected."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from graphdb.store import GraphStore
from ingest.dead_letters.dead_letter import DeadLetter, DeadLetters
from ingest.events.decoding import decode
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
    decoded = decode([letter.payload.content for letter in whole], time.time_ns() // 1000)
    rejected = {index for index, _ in decoded.rejected}
    return Rechecked(
        accepted=[letter for index, letter in enumerate(whole) if index not in rejected],
        num_still_rejected=len(rejected),
        num_cut=len(letters) - len(whole),
    )


def replay_into(letters: DeadLetters, graph: GraphStore, media_root: Path | None = None) -> Replay:
    """Send the events that are no longer rejected again, and forget their dead letters.

    They may be applied twice, which is harmless. Paths of images start where they do in ingest.
    """
    if isinstance(letters, Replayable):
        return letters.replay()
    rechecked = recheck(letters.read())
    folders: dict[str, list[DeadLetter]] = {}
    for letter in rechecked.accepted:
        folders.setdefault(media_folder(letter.source, media_root), []).append(letter)
    for folder, accepted in folders.items():
        for first in range(0, len(accepted), DEAD_LETTERS_AT_ONCE):
            page = accepted[first : first + DEAD_LETTERS_AT_ONCE]
            contents = [letter.payload.content for letter in page]
            graph.apply(decode(contents, time.time_ns() // 1000, folder).batch())
            letters.settle(page)
    return rechecked.replay
