"""Settings: the environment once, embedded where nothing is said."""

from pathlib import Path

import pytest

from featurestore.definitions import representation_view
from featurestore.errors import FeatureInvalid
from featurestore.settings import FeatureStoreSettings, sqlite_path
from foundation.errors import SettingInvalid


def test_nothing_said_is_embedded_in_the_home(tmp_path: Path) -> None:
    settings = FeatureStoreSettings.from_environ({"MMGA_HOME": str(tmp_path)})
    assert settings == FeatureStoreSettings.at(tmp_path)
    assert sqlite_path(settings.online_store_url) == tmp_path / "online.db"
    assert sqlite_path(settings.registry_url) == tmp_path / "registry.db"
    assert settings.generations_root == tmp_path / "generations"
    assert settings.history_root == tmp_path / "history"


def test_the_environment_wins_and_secrets_may_stand_in_files(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("redis://me:secret@host\n")
    settings = FeatureStoreSettings.from_environ(
        {
            "MMGA_PROJECT": "staging",
            "MMGA_ONLINE_STORE_URL_FILE": str(tmp_path / "url"),
            "MMGA_ARTIFACTS_URL": str(tmp_path / "artifacts"),
        }
    )
    assert settings.project == "staging"
    assert settings.online_store_url == "redis://me:secret@host"
    assert settings.generations_root == tmp_path / "artifacts" / "generations"


@pytest.mark.parametrize("project", ["_x", "a-b", "x" * 65, "a b"])
def test_a_project_is_a_name(project: str) -> None:
    with pytest.raises(SettingInvalid, match="give a name of up to 64"):
        FeatureStoreSettings.from_environ({"MMGA_PROJECT": project})


def test_a_secret_that_cannot_be_read_is_one_line() -> None:
    with pytest.raises(SettingInvalid, match="MMGA_REGISTRY_URL_FILE=/nowhere"):
        FeatureStoreSettings.from_environ({"MMGA_REGISTRY_URL_FILE": "/nowhere"})


def test_a_generation_has_all_three_vectors() -> None:
    with pytest.raises(FeatureInvalid, match="it needs"):
        representation_view("g1", {"graph": 1})
