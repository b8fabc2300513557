"""Work in a child process that dies before its nth statement to a database."""

import os
import signal
import sqlite3
from collections.abc import Callable
from typing import Any

from graphdb.neo4j.connection import Transaction


def in_child_killed_at(num_statements: int, work: Callable[[], object]) -> bool:
    """Do the work in a child that dies by SIGKILL before its nth statement, if it has one.

    Returns whether the work came to its end.
    """
    child = os.fork()
    if not child:
        status = 1
        try:
            _count_statements(num_statements)
            work()
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    assert status == 0 or os.WTERMSIG(status) == signal.SIGKILL, status
    return status == 0


def _count_statements(num_statements: int) -> None:
    """Count those of SQLite's connections and of transactions on Neo4j that begin from now on."""
    connect, seen = sqlite3.connect, 0

    def count(_statement: str) -> None:
        nonlocal seen
        seen += 1
        if seen == num_statements:
            os.kill(os.getpid(), signal.SIGKILL)

    def connect_traced(*args: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*args, **options)
        connection.set_trace_callback(count)
        return connection

    def counted(method: Callable[..., Any]) -> Callable[..., Any]:
        def run(transaction: Transaction, statement: str, **parameters: Any) -> Any:
            count(statement)
            return method(transaction, statement, **parameters)

        return run

    sqlite3.connect = connect_traced  # type: ignore[assignment]
    for name in ("ask", "find", "do"):
        setattr(Transaction, name, counted(getattr(Transaction, name)))
