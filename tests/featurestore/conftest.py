"""Make the assertions of the conformance class speak, and share the settings of a home."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from featurestore.feast_adapter.feast_import import import_feast
from featurestore.settings import FeatureStoreSettings
from tests.featurestore.redis_database import emptied
from tests.servers import Server

pytest.register_assert_rewrite("tests.featurestore.conformance")

import_feast()  # before tests import it without us, which takes seconds longer


@pytest.fixture
def settings(tmp_path: Path) -> FeatureStoreSettings:
    """An embedded home of its own."""
    return FeatureStoreSettings.at(tmp_path / "home")


@pytest.fixture
def redis_url(redis_server: Server) -> str:
    """An empty database on Redis."""
    return emptied(redis_server.url)


@pytest.fixture
def postgres_url(postgres_server: Server) -> Iterator[str]:
    """An empty database on PostgreSQL."""
    import psycopg

    name = f"t{uuid4().hex}"
    with psycopg.connect(postgres_server.url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        yield urlsplit(postgres_server.url)._replace(path=f"/{name}").geturl()
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
