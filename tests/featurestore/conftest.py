"""Make the assertions of the conformance class speak, and share the settings of a home."""

from pathlib import Path

import pytest

from featurestore.settings import FeatureStoreSettings
from tests.featurestore.redis_database import emptied
from tests.servers import Server

pytest.register_assert_rewrite("tests.featurestore.conformance")


@pytest.fixture
def settings(tmp_path: Path) -> FeatureStoreSettings:
    """An embedded home of its own."""
    return FeatureStoreSettings.at(tmp_path / "home")


@pytest.fixture
def redis_url(redis_server: Server) -> str:
    """An empty database on Redis."""
    return emptied(redis_server.url)
