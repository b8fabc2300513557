"""Stream positions: they move in the transaction of the facts that they stand for."""

from collections.abc import Sequence

from graphdb.facts import Position, PositionMove
from graphdb.neo4j import statements
from graphdb.neo4j.connection import Transaction
from graphdb.rules.batches import check_move

NONE_STORED = -1


def move_positions(tx: Transaction, moves: Sequence[PositionMove]) -> None:
    """Move partitions on; raises PositionConflict, for the whole transaction, where one is not
    where its move expects it."""
    if moves:
        _check(moves, write_positions(tx, [move.next for move in moves]))


def check_positions(tx: Transaction, moves: Sequence[PositionMove]) -> None:
    """Raise PositionConflict where a partition is not where its move expects it."""
    if moves:
        keys = [_key(move.next) for move in moves]
        _check(moves, tx.ask(statements.SELECT_OFFSETS, keys=keys))


def _check(moves: Sequence[PositionMove], stored: Sequence[int]) -> None:
    for move, offset in zip(moves, stored, strict=True):
        check_move(move, None if offset == NONE_STORED else offset)


def write_positions(tx: Transaction, positions: Sequence[Position]) -> list[int]:
    """Overwrite positions of different partitions, and return the offsets that they had."""
    offsets: list[int] = tx.ask(
        statements.MOVE_POSITIONS,
        keys=list(map(_key, positions)),
        sources=[each.source for each in positions],
        partitions=[each.partition for each in positions],
        offsets=[each.offset for each in positions],
        fingerprints=[each.fingerprint for each in positions],
    )
    return offsets


def read_positions(tx: Transaction, source: str | None) -> list[Position]:
    """Positions of one source or of all, in order."""
    found = tx.ask(statements.SELECT_POSITIONS, source=source)
    return [
        Position(source=name, partition=partition, offset=offset, fingerprint=fingerprint)
        for name, partition, offset, fingerprint in sorted(found, key=lambda row: row[:2])
    ]


def _key(position: Position) -> str:
    return f"{position.source}\n{position.partition}"
