"""Definitions on PostgreSQL: appliers of several homes lose nothing, outages are one line."""

import multiprocessing
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy

from featurestore.definitions import USER_ACTIVITY, representation_name
from featurestore.errors import (
    RegistryUnavailable,
    RegistryUnreachable,
    StoreBusy,
)
from featurestore.feast_adapter import registry_database
from featurestore.feast_adapter.feast_import import import_feast
from featurestore.feast_adapter.registry import FeatureRegistry
from featurestore.feast_adapter.registry_database import LOCK_KEY, applying_alone, sqlalchemy_url
from featurestore.settings import FeatureStoreSettings
from foundation.errors import SettingInvalid

DIMS = {"graph": 2, "image": 2, "text": 2}


@pytest.fixture
def postgres_settings(settings: FeatureStoreSettings, postgres_url: str) -> FeatureStoreSettings:
    """A home whose definitions are on PostgreSQL."""
    return replace(settings, registry_url=postgres_url)


def apply_many(home: Path, registry_url: str, name: str) -> None:
    """One of several appliers, from a home of its own."""
    settings = FeatureStoreSettings.at(home / name, registry_url=registry_url)
    registry = FeatureRegistry(settings)
    registry.apply_statistics(["num_posts"])
    for number in range(2):
        registry.apply_generation(f"{name}{number}", DIMS)
        registry.activate_service(f"{name}{number}")
    registry.drop_generation(f"{name}0")


def test_appliers_of_two_homes_lose_nothing(
    postgres_settings: FeatureStoreSettings, tmp_path: Path
) -> None:
    import_feast()  # once for both, since it takes seconds
    context = multiprocessing.get_context("fork")
    arguments = [(tmp_path, postgres_settings.registry_url, name) for name in ("left", "right")]
    appliers = [context.Process(target=apply_many, args=each) for each in arguments]
    for applier in appliers:
        applier.start()
    for applier in appliers:
        applier.join()
        assert applier.exitcode == 0
    registry = FeatureRegistry(postgres_settings)
    store = registry.feast_store()
    generations = {"left1", "right1"}
    names = {representation_name(each) for each in generations}
    assert {view.name for view in store.list_feature_views()} == {USER_ACTIVITY, *names}
    assert {each.name for each in store.list_feature_services()} == {"user_representation", *names}
    assert registry.active_service() in generations


def test_an_applier_waits_for_the_other_and_then_says_so(
    postgres_settings: FeatureStoreSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry_database, "LOCK_TIMEOUT_SECONDS", 0.2)
    engine = sqlalchemy.create_engine(sqlalchemy_url(postgres_settings.registry_url))
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text(f"SELECT pg_advisory_xact_lock({LOCK_KEY})"))
        with pytest.raises(StoreBusy, match="held by another"), applying_alone(postgres_settings):
            pass
    engine.dispose()
    with applying_alone(postgres_settings):
        pass


def test_a_registry_that_does_not_answer_is_one_line(settings: FeatureStoreSettings) -> None:
    url = "postgresql://me:sesame@127.0.0.1:1/mmga"
    with pytest.raises(RegistryUnreachable, match=r"127\.0\.0\.1:1/mmga does not") as raised:
        FeatureRegistry(replace(settings, registry_url=url)).apply_statistics(["num_posts"])
    assert "sesame" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_registry_that_refuses_is_no_outage(postgres_settings: FeatureStoreSettings) -> None:
    url = postgres_settings.registry_url.rpartition("/")[0] + "/nowhere"
    with pytest.raises(RegistryUnavailable, match='"nowhere" does not exist') as raised:
        FeatureRegistry(replace(postgres_settings, registry_url=url)).apply_statistics(["x"])
    assert not isinstance(raised.value, RegistryUnreachable)


def test_an_unknown_scheme_is_refused_without_its_password(settings: FeatureStoreSettings) -> None:
    url = "mysql://me:sesame@host/db"
    with pytest.raises(SettingInvalid, match="mysql://host/db") as raised:
        FeatureRegistry(replace(settings, registry_url=url)).apply_generation("g1", DIMS)
    assert "sesame" not in str(raised.value)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_the_driver_is_the_one_that_is_installed(scheme: str) -> None:
    assert sqlalchemy_url(f"{scheme}://u@h/d") == "postgresql+psycopg://u@h/d"
    assert sqlalchemy_url("sqlite:////tmp/a.db") == "sqlite:////tmp/a.db"
