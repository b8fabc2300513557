"""The database of Feast's registry: its URL, the lock for applying, translated errors.

Feast reads the registry, then changes one object at a time, so processes apply one after another:
on SQLite under a file lock, on PostgreSQL, which several machines share, under an advisory lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from hashlib import blake2b
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from featurestore.errors import (
    FormatRefused,
    RegistryUnavailable,
    RegistryUnreachable,
    StoreBusy,
)
from featurestore.locks import database_lock, held
from featurestore.settings import FeatureStoreSettings, sqlite_path
from foundation.errors import SettingInvalid
from foundation.format_version import REGISTRY
from foundation.settings import POSTGRES_SCHEMES
from foundation.url import without_secrets

if TYPE_CHECKING:
    from sqlalchemy import Connection

LOCK_TIMEOUT_SECONDS = 120.0
CONNECT_TIMEOUT_SECONDS = 5
CREATE_FORMAT = "CREATE TABLE IF NOT EXISTS mmga_format (version INTEGER NOT NULL)"
SELECT_FORMAT = "SELECT max(version) FROM mmga_format"
MARK_FORMAT = f"""
    INSERT INTO mmga_format SELECT {REGISTRY.version}
    WHERE NOT EXISTS (SELECT 1 FROM mmga_format)"""
LOCK_NOT_AVAILABLE = "55P03"
LOCK_KEY = int.from_bytes(blake2b(b"mmga registry", digest_size=8).digest(), signed=True)
"""One for all projects: they share Feast's tables, which Feast creates when it opens."""


def sqlalchemy_url(url: str) -> str:
    """The URL with the driver that is installed, and a path as SQLAlchemy reads one."""
    scheme, separator, rest = url.partition("://")
    if scheme == "sqlite":
        return f"sqlite:///{quote(str(sqlite_path(url)))}"  # it takes ?, # and % for syntax
    return f"postgresql+psycopg://{rest}" if scheme in POSTGRES_SCHEMES and separator else url


def engine_options(url: str) -> dict[str, Any]:
    """SQLAlchemy's options besides the URL: a server may restart or be absent."""
    if url.partition("://")[0] not in POSTGRES_SCHEMES:
        return {}
    return {
        "pool_pre_ping": True,
        "connect_args": {"connect_timeout": CONNECT_TIMEOUT_SECONDS},
    }


def applying_alone(settings: FeatureStoreSettings) -> AbstractContextManager[None]:
    """Hold the lock for applying in a block. Raises StoreBusy, SettingInvalid."""
    scheme = settings.registry_url.partition(":")[0]
    if scheme not in LOCKS:
        raise SettingInvalid(
            f"MMGA_REGISTRY_URL={without_secrets(settings.registry_url)} has no backend in this "
            "release: use sqlite:///PATH.db or postgresql://USER@HOST/DATABASE"
        )
    return LOCKS[scheme](settings)


@contextmanager
def _sqlite_lock(settings: FeatureStoreSettings) -> Iterator[None]:
    lock = database_lock(sqlite_path(settings.registry_url))
    with held(lock, timeout_seconds=LOCK_TIMEOUT_SECONDS):
        yield


@contextmanager
def _postgres_lock(settings: FeatureStoreSettings) -> Iterator[None]:
    """A lock held by a transaction, which the server frees when the connection ends."""
    from sqlalchemy import create_engine, text
    from sqlalchemy.exc import OperationalError

    url = settings.registry_url
    engine = create_engine(sqlalchemy_url(url), **engine_options(url))
    try:
        with engine.begin() as connection:
            wait = f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_SECONDS * 1_000:.0f}"
            connection.execute(text(wait))
            try:
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})
            except OperationalError as error:
                if getattr(error.orig, "sqlstate", None) != LOCK_NOT_AVAILABLE:
                    raise
                raise StoreBusy(
                    f"the registry {without_secrets(url)} has been held by another process for "
                    f"{LOCK_TIMEOUT_SECONDS:.0f} s: wait for it, or end it"
                ) from error
            yield
    finally:
        engine.dispose()


def keep_format(settings: FeatureStoreSettings) -> None:
    """Mark a new registry with its format; the caller holds the lock for applying.

    Raises FormatRefused for a registry of another version of this software.
    """
    from sqlalchemy import create_engine

    url = settings.registry_url
    engine = create_engine(sqlalchemy_url(url), **engine_options(url))
    try:
        with engine.begin() as connection:
            connection.exec_driver_sql(CREATE_FORMAT)
            connection.exec_driver_sql(MARK_FORMAT)
            check_format(settings, connection)
    finally:
        engine.dispose()


def check_format(settings: FeatureStoreSettings, connection: Connection) -> None:
    """Raises FormatRefused for a registry of another version of this software."""
    found = connection.exec_driver_sql(SELECT_FORMAT).scalar_one()
    if refusal := REGISTRY.refusal(without_secrets(settings.registry_url), found):
        raise FormatRefused(refusal)


@contextmanager
def translated(settings: FeatureStoreSettings) -> Iterator[None]:
    """Translate errors of the registry's database into one line each."""
    from sqlalchemy.exc import SQLAlchemyError

    name = without_secrets(settings.registry_url)
    try:
        yield
    except ModuleNotFoundError as error:
        raise RegistryUnavailable(
            f"the registry {name} needs {error.name}: install mmga[postgres]"
        ) from error
    except (SQLAlchemyError, OSError) as error:
        cause = " ".join(str(getattr(error, "orig", None) or error).split())
        if is_outage(error, cause):
            raise RegistryUnreachable(
                f"the registry {name} does not answer ({cause}): start the server, or check host "
                "and port in MMGA_REGISTRY_URL"
            ) from error
        raise RegistryUnavailable(
            f"the registry {name} cannot be used ({cause}): check that it is there, writable and "
            "not full"
        ) from error


def is_outage(error: Exception, cause: str) -> bool:
    """Whether a server is unreachable, starting or stopping; one that refuses us says FATAL."""
    from sqlalchemy.exc import OperationalError

    if not isinstance(error, OperationalError) or "psycopg" not in type(error.orig).__module__:
        return False
    return "FATAL" not in cause or "starting up" in cause or "shutting down" in cause


LOCKS: dict[str, Callable[[FeatureStoreSettings], AbstractContextManager[None]]] = {
    "sqlite": _sqlite_lock,
    **dict.fromkeys(POSTGRES_SCHEMES, _postgres_lock),
}
