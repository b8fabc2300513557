"""Stream positions: they move in the transaction of the facts that they stand for."""

import sqlite3
from collections.abc import Sequence

from graphdb.facts import Position, PositionMove
from graphdb.rules.batches import check_move

SELECT_POSITION = "SELECT offset FROM positions WHERE source = ? AND partition = ?"
SELECT_POSITIONS = """
    SELECT source, partition, offset, fingerprint FROM positions
    WHERE ?1 IS NULL OR source = ?1 ORDER BY source, partition"""
WRITE_POSITION = "INSERT OR REPLACE INTO positions VALUES (?, ?, ?, ?)"


def check_moves(connection: sqlite3.Connection, moves: Sequence[PositionMove]) -> None:
    """Raise PositionConflict unless each partition stands where its move expects it."""
    for move in moves:
        source, partition = move.next.source, move.next.partition
        row = connection.execute(SELECT_POSITION, (source, partition)).fetchone()
        check_move(move, row[0] if row else None)


def write_positions(connection: sqlite3.Connection, positions: Sequence[Position]) -> None:
    """Overwrite positions."""
    connection.executemany(
        WRITE_POSITION,
        [(each.source, each.partition, each.offset, each.fingerprint) for each in positions],
    )


def read_positions(connection: sqlite3.Connection, source: str | None) -> list[Position]:
    """Positions of one source or of all."""
    return [
        Position(source=name, partition=partition, offset=offset, fingerprint=fingerprint)
        for name, partition, offset, fingerprint in connection.execute(SELECT_POSITIONS, (source,))
    ]
