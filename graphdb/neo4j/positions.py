"""Stream positions: they move in the transaction of the facts that they stand for."""

from collections.abc import Sequence

from graphdb.facts import Position, PositionMove
from graphdb.neo4j.connection import Transaction
from graphdb.rules.batches import check_move

NONE_STORED = -1

MOVE_POSITIONS = """
UNWIND range(0, size($keys) - 1) AS i
MERGE (p:Position {key: $keys[i]})
WITH p, i, p.offset AS stored
SET p.source = $sources[i], p.partition = $partitions[i], p.offset = $offsets[i],
    p.fingerprint = $fingerprints[i]
WITH i, stored ORDER BY i
RETURN collect(coalesce(stored, -1))"""
SELECT_OFFSETS = """
UNWIND range(0, size($keys) - 1) AS i
OPTIONAL MATCH (p:Position {key: $keys[i]})
WITH i, p ORDER BY i
RETURN collect(coalesce(p.offset, -1))"""
SELECT_POSITIONS = """
MATCH (p:Position) WHERE $source IS NULL OR p.source = $source
RETURN collect([p.source, p.partition, p.offset, p.fingerprint])"""


def move_positions(tx: Transaction, moves: Sequence[PositionMove]) -> None:
    """Move partitions on; raises PositionConflict, for the whole transaction, where one is not
    where its move expects it."""
    if moves:
        _check(moves, write_positions(tx, [move.next for move in moves]))


def check_positions(tx: Transaction, moves: Sequence[PositionMove]) -> None:
    """Raise PositionConflict where a partition is not where its move expects it."""
    if moves:
        keys = [_key(move.next) for move in moves]
        _check(moves, tx.ask(SELECT_OFFSETS, keys=keys))


def _check(moves: Sequence[PositionMove], stored: Sequence[int]) -> None:
    for move, offset in zip(moves, stored, strict=True):
        check_move(move, None if offset == NONE_STORED else offset)


def write_positions(tx: Transaction, positions: Sequence[Position]) -> list[int]:
    """Overwrite positions of different partitions, and return the offsets that they had."""
    offsets: list[int] = tx.ask(
        MOVE_POSITIONS,
        keys=list(map(_key, positions)),
        sources=[each.source for each in positions],
        partitions=[each.partition for each in positions],
        offsets=[each.offset for each in positions],
        fingerprints=[each.fingerprint for each in positions],
    )
    return offsets


def read_positions(tx: Transaction, source: str | None) -> list[Position]:
    """Positions of one source or of all, in order."""
    found = tx.ask(SELECT_POSITIONS, source=source)
    return [
        Position(source=name, partition=partition, offset=offset, fingerprint=fingerprint)
        for name, partition, offset, fingerprint in sorted(found, key=lambda row: row[:2])
    ]


def _key(position: Position) -> str:
    return f"{position.source}\n{position.partition}"
