"""Make the assertions of the conformance class speak, and share the settings of a home."""

from pathlib import Path

import pytest

from featurestore.settings import FeatureStoreSettings

pytest.register_assert_rewrite("tests.featurestore.conformance")


@pytest.fixture
def settings(tmp_path: Path) -> FeatureStoreSettings:
    """An embedded home of its own."""
    return FeatureStoreSettings.at(tmp_path / "home")
