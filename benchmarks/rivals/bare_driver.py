"""The statements that our pipeline sends, with the same columns, sent again from memory.

    python -m benchmarks.rivals.bare_driver record FILE      settings of `mmga` in the environment
    python -m benchmarks.rivals.bare_driver send NEO4J_URL FILE

`record` runs the pipeline itself and keeps what it gave to the driver, a list of statements for
each transaction. `send` is what the driver and the server need for that alone: nothing is read from
Kafka, decoded, checked or decided.
"""

import functools
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import neo4j

from benchmarks.stream import ingest_worker
from benchmarks.stream.event_stream import driver_of
from benchmarks.stream.turn import begin, committed

Statement = tuple[str, dict[str, Any]]
Transaction = tuple[int, list[Statement]]
"""How many events, and the statements."""


def record(path: Path) -> None:
    """Run our worker, and write what each of its commits sent when a signal ends it."""
    transactions: list[Transaction] = []
    statements: list[Statement] = []
    execute_write = neo4j.Session.execute_write

    def recording(session: neo4j.Session, unit: Callable[..., Any], *rest: Any) -> Any:
        @functools.wraps(unit)  # its time-out is an attribute of it
        def recorded(transaction: neo4j.ManagedTransaction, *rest: Any) -> Any:
            statements.clear()
            return unit(Recorder(transaction, statements), *rest)

        return execute_write(session, recorded, *rest)

    def keep(num_events: int) -> None:
        transactions.append((num_events, list(statements)))
        committed(num_events)

    neo4j.Session.execute_write = recording  # type: ignore[method-assign]
    ingest_worker.committed = keep
    ingest_worker.main()
    path.write_bytes(pickle.dumps(transactions))


class Recorder:
    """A transaction that remembers what it was given."""

    def __init__(self, transaction: neo4j.ManagedTransaction, statements: list[Statement]) -> None:
        self._transaction = transaction
        self._statements = statements

    def run(self, statement: str, parameters: dict[str, Any]) -> neo4j.Result:
        """Run it."""
        self._statements.append((statement, parameters))
        return self._transaction.run(statement, parameters)


def send(neo4j_url: str, path: Path) -> None:
    """Send what was recorded."""
    transactions: list[Transaction] = pickle.loads(path.read_bytes())
    with driver_of(neo4j_url) as driver, driver.session() as session:
        session.run("RETURN 1").consume()
        begin()
        for num_events, statements in transactions:
            session.execute_write(send_one, statements)
            committed(num_events)


def send_one(transaction: neo4j.ManagedTransaction, statements: list[Statement]) -> None:
    """Run the statements of one transaction and read what they return."""
    for statement, parameters in statements:
        result = transaction.run(statement, parameters)
        if "RETURN" in statement:
            result.single()


if __name__ == "__main__":
    if sys.argv[1] == "record":
        record(Path(sys.argv[2]))
    else:
        send(sys.argv[2], Path(sys.argv[3]))
