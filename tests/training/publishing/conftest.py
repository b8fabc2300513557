"""A small graph, and an empty home."""

import pytest

from featurestore.settings import FeatureStoreSettings
from tests.training.publishing.small_publication import small_graph


@pytest.fixture
def store():
    return small_graph()


@pytest.fixture
def settings(tmp_path):
    return FeatureStoreSettings.at(tmp_path / "home")
