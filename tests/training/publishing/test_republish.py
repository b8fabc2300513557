"""A generation comes back from its history when the online store has lost everything."""

from dataclasses import replace

import numpy as np
import pytest

from featurestore.definitions import representation_name
from featurestore.errors import GenerationMissing
from featurestore.feast_adapter.registry import FeatureRegistry
from featurestore.online.open import open_online_store
from featurestore.settings import FeatureStoreSettings
from graphdb.facts import Batch, UserDeletion
from tests.featurestore.redis_database import emptied
from tests.servers import Server
from tests.training.publishing.test_publish import (
    NEW,
    USERS,
    assert_serves,
    publication,
    store,  # noqa: F401  a fixture
)
from training.publishing.publish import publish
from training.publishing.republish import republish


@pytest.fixture
def settings(tmp_path, redis_server: Server) -> FeatureStoreSettings:
    embedded = FeatureStoreSettings.at(tmp_path / "home")
    return replace(embedded, online_store_url=emptied(redis_server.url, 12))


def test_a_generation_comes_back_from_its_history(store, settings, tmp_path):  # noqa: F811
    made = publication(store, tmp_path)
    publish(made, store, settings)
    before = open_online_store(settings)
    mark = before.watermark(representation_name(NEW))
    emptied(settings.online_store_url, 12)
    assert before.pointer().active is None
    assert before.views() == []
    store.apply(Batch(user_deletions=[UserDeletion(user_id=USERS[4], time=99)]))
    assert republish(NEW, store, settings) == len(USERS) - 1
    assert republish(NEW, store, settings) == len(USERS) - 1
    assert_serves(settings, made, np.array([user_id != USERS[4] for user_id in USERS]))
    assert before.watermark(representation_name(NEW)) == mark
    rows = before.read(representation_name(NEW), USERS, ["computed_at", "provisional"])
    assert rows.known["computed_at"].tolist() == rows.known["provisional"].tolist()
    assert rows.features["computed_at"].dtype == "datetime64[s]"
    before.close()
    assert FeatureRegistry(settings).active_service() == NEW


def test_what_is_not_there_is_one_line(store, settings):  # noqa: F811
    with pytest.raises(GenerationMissing, match="mmga generations list"):
        republish("g9", store, settings)
