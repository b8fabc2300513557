"""The Redis backend: the conformance class, and what only Redis has."""

from collections.abc import Callable
from dataclasses import replace
from itertools import count

import pytest

from featurestore.online import OnlineStore, open_online_store
from featurestore.online_redis import RedisStore
from featurestore.settings import FeatureStoreSettings
from tests.featurestore.conformance import OnlineStoreConformance, Opener
from tests.featurestore.redis_database import emptied
from tests.servers import Server


class TestRedisStore(OnlineStoreConformance):
    """All of the contract on Redis."""

    @pytest.fixture
    def opener(self, redis_settings: FeatureStoreSettings) -> Opener:
        def open_store(*, read_only: bool = False, project: str = "mmga") -> OnlineStore:
            named = replace(redis_settings, project=project)
            return open_online_store(named, read_only=read_only)

        return open_store


@pytest.fixture
def redis_settings(settings: FeatureStoreSettings, redis_url: str) -> FeatureStoreSettings:
    """A home whose online store is an empty database on Redis."""
    return replace(settings, online_store_url=redis_url)


@pytest.fixture(scope="module")
def new_store(redis_server: Server) -> Callable[[], OnlineStore]:
    """Opens an empty store at each call: a project of its own in one database."""
    url, numbers = emptied(redis_server.url, 14), count()
    return lambda: RedisStore.at(url, f"p{next(numbers)}")
