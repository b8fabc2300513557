"""One process's connection to a Neo4j database: its transactions, retries and errors.

A write transaction may be run again by the driver until it is known to be committed or not, for
about 10 seconds. The server ends one that takes longer than 30 seconds, however its client fares:
a stopped process cannot hold the graph's lock, nor commit when it wakes.

Transactions of one connection are chained by the driver's bookmarks: a later one sees all that an
earlier one could have seen a part of. Neo4j shows a commit record by record while it is applied,
so this is what makes "read the head, then what changed up to it" complete.
"""

import contextlib
import logging
import os
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from neo4j import Driver, GraphDatabase, ManagedTransaction, Session, unit_of_work
from neo4j.exceptions import (
    AuthConfigurationError,
    AuthError,
    ClientError,
    ConfigurationError,
    ConnectionAcquisitionTimeoutError,
    DatabaseError,
    Forbidden,
    IncompleteCommit,
    ResultNotSingleError,
    ServiceUnavailable,
    SessionExpired,
    TransientError,
)

from graphdb.errors import CommitUnknown, GraphError, GraphUnavailable, GraphUnreachable
from graphdb.neo4j.address import Address

logger = logging.getLogger(__name__)

WRITE_TIMEOUT_SECONDS = 30.0
RETRY_SECONDS = 10.0
READ_RETRY_SECONDS = 5.0
FIRST_RETRY_SECONDS = 0.05
CONNECT_TIMEOUT_SECONDS = 5.0
ACQUIRE_TIMEOUT_SECONDS = 10.0
REPETITIONS = 5
"""How often what may be repeated is, when the answers to its commits are lost."""

_PASSING_CLIENT_ERRORS = (
    "Neo.ClientError.Transaction.TransactionTimedOut",
    "Neo.ClientError.Transaction.Terminated",
    "Neo.ClientError.Transaction.TransactionTerminated",
    "Neo.ClientError.Transaction.TransactionNotFound",
    "Neo.ClientError.Transaction.TransactionStartFailed",
    "Neo.ClientError.Transaction.LockClientStopped",
    "Neo.ClientError.Security.AuthenticationRateLimit",
)
_BOOKMARK_TIMEOUT = "Neo.TransientError.Transaction.BookmarkTimeout"

Result = TypeVar("Result")


class Transaction:
    """The statements of one transaction.

    A statement takes its rows as columns, which cost the driver a tenth of what maps do, and
    returns at most one row, of collected columns. Each of its MATCHes begins at a unique index.
    """

    def __init__(self, transaction: ManagedTransaction) -> None:
        self._transaction = transaction

    def ask(self, statement: str, **parameters: Any) -> Any:
        """The row that a statement returns: its value, or the list of its values when several."""
        row = self._transaction.run(statement, parameters).single(strict=True)
        return row[0] if len(row) == 1 else row.values()

    def find(self, statement: str, **parameters: Any) -> list[Any] | None:
        """The values of the row that a statement returns, or None when it returns none."""
        row = self._transaction.run(statement, parameters).single()
        return None if row is None else row.values()

    def do(self, statement: str, **parameters: Any) -> None:
        """Run a statement for its effect. Its errors come with a later one's, or the commit's."""
        self._transaction.run(statement, parameters)


class Database:
    """A database of a server; a call takes a connection of its own."""

    def __init__(self, address: Address, driver: Driver, *, read_only: bool) -> None:
        self.address = address
        self._driver = driver
        self._read_only = read_only
        self._bookmarks = GraphDatabase.bookmark_manager()
        self._process = os.getpid()

    @classmethod
    def open(cls, address: Address, *, read_only: bool) -> "Database":
        """Connect; fails within about ten seconds where no server answers."""
        with _translated(address):
            driver = GraphDatabase.driver(
                address.driver_url,
                auth=address.auth,
                connection_timeout=CONNECT_TIMEOUT_SECONDS,
                connection_acquisition_timeout=ACQUIRE_TIMEOUT_SECONDS,
                notifications_min_severity="OFF",
                telemetry_disabled=True,
                user_agent="mmga",
                initial_retry_delay=FIRST_RETRY_SECONDS,
            )
            try:
                driver.verify_connectivity()
            except BaseException:
                driver.close()
                raise
        return cls(address, driver, read_only=read_only)

    def read(
        self, unit: Callable[[Transaction], Result], *, retry_seconds: float = READ_RETRY_SECONDS
    ) -> Result:
        """Run a unit of reading, again where a passing failure ended it."""

        def run() -> Result:
            with self._session(retry_seconds=retry_seconds) as session:
                return session.execute_read(lambda tx: unit(Transaction(tx)))

        return _repeated(run)

    def write(self, unit: Callable[[Transaction], Result], *, repeatable: bool) -> Result:
        """Run a unit in one write transaction, from its start again where the driver retries.

        When the answer to the commit is lost, a unit that is `repeatable` is run once more; for
        any other, CommitUnknown is raised.
        """
        if self._read_only:
            raise GraphUnavailable(f"the graph {self.address} was opened to be read; open a writer")
        bounded = unit_of_work(timeout=WRITE_TIMEOUT_SECONDS)(lambda tx: unit(Transaction(tx)))

        def run() -> Result:
            with self._session() as session:
                return session.execute_write(bounded)

        return _repeated(run) if repeatable else run()

    def change_schema(self, statement: str) -> None:
        """Run one statement on the schema, which may wait for another process's."""

        def run() -> object:
            with self._session() as session:
                return session.execute_write(lambda tx: tx.run(statement).consume())

        _repeated(run)

    def close(self) -> None:
        """Release the connections."""
        if os.getpid() == self._process:
            self._driver.close()

    @contextlib.contextmanager
    def _session(self, *, retry_seconds: float = RETRY_SECONDS) -> Iterator[Session]:
        if os.getpid() != self._process:
            raise GraphUnavailable(
                f"the graph {self.address} was opened before a fork; open it in the child"
            )
        try:
            with (
                _translated(self.address),
                self._driver.session(
                    database=self.address.database,
                    bookmark_manager=self._bookmarks,
                    max_transaction_retry_time=retry_seconds,
                ) as session,
            ):
                yield session
        except GraphUnreachable as error:
            if getattr(error.__cause__, "code", None) == _BOOKMARK_TIMEOUT:
                # The database went back in time (a backup was restored): begin new bookmarks.
                self._bookmarks = GraphDatabase.bookmark_manager()
            raise


def _repeated(run: Callable[[], Result]) -> Result:
    """Run a transaction, again where the answer to its commit is lost. Raises GraphUnreachable.

    A transaction that only reads ends with a commit, too.
    """
    for _ in range(REPETITIONS):
        try:
            return run()
        except CommitUnknown as error:
            unknown = error
    raise GraphUnreachable(str(unknown)) from unknown


@contextlib.contextmanager
def _translated(address: Address) -> Iterator[None]:
    """Turn the driver's errors into ours, with a remedy and without credentials."""
    try:
        yield
    except GraphError:
        raise
    except IncompleteCommit as error:
        raise CommitUnknown(
            f"the connection to {address} broke before it confirmed a commit; "
            "read the positions to learn whether it stands, and go on from there"
        ) from error
    except (AuthError, AuthConfigurationError, Forbidden) as error:
        raise GraphUnavailable(
            f"{address} refuses the user or the password ({_brief(error)}); correct MMGA_GRAPH_URL"
        ) from error
    except (ServiceUnavailable, SessionExpired, ConnectionAcquisitionTimeoutError) as error:
        raise _unreachable(address, error) from error
    except (TransientError, DatabaseError) as error:
        raise _refused(address, error) from error
    except ClientError as error:
        code = str(error.code)
        if code.startswith(_PASSING_CLIENT_ERRORS):
            raise _refused(address, error) from error
        if code.startswith("Neo.ClientError.Database."):
            raise GraphUnavailable(
                f"there is no database {address.database!r} at {address.driver_url} "
                f"({_brief(error)}); correct the path of MMGA_GRAPH_URL"
            ) from error
        raise
    except ConfigurationError as error:
        raise GraphUnavailable(
            f"{address} cannot be connected to ({_brief(error)}); correct MMGA_GRAPH_URL"
        ) from error
    except ResultNotSingleError as error:
        raise GraphUnavailable(
            f"there is no graph at {address} any more; run `mmga ingest` to make one"
        ) from error
    except OSError as error:
        raise _unreachable(address, error) from error


def _unreachable(address: Address, error: Exception) -> GraphUnreachable:
    return GraphUnreachable(
        f"{address} does not answer ({_brief(error)}); start the server or wait for it, "
        "or correct scheme, host and port of MMGA_GRAPH_URL"
    )


def _refused(address: Address, error: Exception) -> GraphUnreachable:
    return GraphUnreachable(
        f"{address} cannot do it for now ({_brief(error)}); "
        "try again, and look at the server's log where it goes on"
    )


def _brief(error: Exception) -> str:
    """The first line of what the driver says; it names addresses, never credentials."""
    text = getattr(error, "message", None) or str(error) or type(error).__name__
    return str(text).strip().splitlines()[0][:200]
