"""Feast's registry: definitions are applied to it by one process at a time.

Feast is imported on first use, since the import takes seconds.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from featurestore.definitions import (
    CREATED_COLUMN,
    ENTITY,
    EVENT_TIMESTAMP_COLUMN,
    JOIN_KEY,
    USER_REPRESENTATION,
    View,
    representation_name,
    representation_view,
    statistics_view,
)
from featurestore.errors import GenerationInUse, GenerationMissing
from featurestore.feast_adapter.feast_import import import_feast
from featurestore.feast_adapter.online_config import online_config
from featurestore.feast_adapter.registry_database import (
    applying_alone,
    check_format,
    engine_options,
    keep_format,
    sqlalchemy_url,
    translated,
)
from featurestore.history import History
from featurestore.settings import FeatureStoreSettings, sqlite_path

if TYPE_CHECKING:
    from feast import Entity, FeatureStore, FeatureView

DIGEST_TAG = "definition"
SQLITE_TIMEOUT_SECONDS = 5.0
CACHE_SECONDS = 10
"""How long a process may read definitions that another process has replaced."""


class FeatureRegistry:
    """Feast's definitions of this project, in an SQL registry."""

    def __init__(self, settings: FeatureStoreSettings) -> None:
        self.settings = settings

    def apply_statistics(self, names: Sequence[str]) -> None:
        """Define `user_activity` with these statistics; cheap if it is defined so already."""
        view = statistics_view(names)
        if not self._is_applied(view):
            self._apply(view, service=None)

    def apply_generation(self, generation_id: str, dims: Mapping[str, int]) -> None:
        """Define the feature view and the feature service of a generation."""
        view = representation_view(generation_id, dims)
        self._apply(view, service=view.name)

    def activate_service(self, generation_id: str) -> None:
        """Point the feature service `user_representation` to this generation.

        Serving reads the pointer in the online store; the feature service is for Feast's clients.
        Raises GenerationMissing when the generation was not applied.
        """
        feast = import_feast()
        with self._applying() as store:
            try:
                view = store.get_feature_view(representation_name(generation_id))
            except feast.errors.FeatureViewNotFoundException as error:
                raise GenerationMissing(
                    f"generation {generation_id} is not in the registry: publish it first"
                ) from error
            store.apply([feast.FeatureService(name=USER_REPRESENTATION, features=[view])])

    def active_service(self) -> str | None:
        """The generation that the feature service `user_representation` points to."""
        feast = import_feast()
        try:
            service = self.feast_store().get_feature_service(USER_REPRESENTATION)
        except feast.errors.FeatureServiceNotFoundException:
            return None
        name: str = service.feature_view_projections[0].name
        return name.removeprefix(f"{USER_REPRESENTATION}_")

    def check_writable(self) -> None:
        """Check that a definition could be applied now, without importing Feast.

        Raises RegistryUnavailable, StoreBusy, SettingInvalid, FormatRefused.
        """
        import sqlalchemy

        url = self.settings.registry_url
        with translated(self.settings), applying_alone(self.settings):
            keep_format(self.settings)
            if not url.startswith("sqlite:"):
                return  # the lock is held in the database itself
            timeout = {"timeout": SQLITE_TIMEOUT_SECONDS}
            engine = sqlalchemy.create_engine(sqlalchemy_url(url), connect_args=timeout)
            try:
                with engine.connect() as connection:
                    connection.exec_driver_sql("BEGIN IMMEDIATE")
            finally:
                engine.dispose()

    def drop_generation(self, generation_id: str) -> None:
        """Remove the feature view and service of a generation, but not its rows.

        Raises GenerationInUse if `user_representation` points to it.
        """
        if self.active_service() == generation_id:
            raise GenerationInUse(f"generation {generation_id} is active: activate another first")
        name = representation_name(generation_id)
        with self._applying() as store:
            if any(each.name == name for each in store.list_feature_services()):
                store.delete_feature_service(name)
            if any(each.name == name for each in store.list_feature_views()):
                store.delete_feature_view(name)
            if any(each.name == name for each in store.list_data_sources()):
                store.registry.delete_data_source(name, project=self.settings.project)

    def feast_store(self) -> FeatureStore:
        """Feast's own facade on the same registry and rows; its writes are ordered too."""
        with translated(self.settings):
            if "_store" not in self.__dict__:  # Feast makes its tables as it opens
                with applying_alone(self.settings):
                    return self._store
            return self._store

    def stock_config(self) -> dict[str, Any]:
        """The arguments of `feast.RepoConfig` for stock Feast without our packages.

        They include the passwords of the URLs.
        """
        config = dict(self._config)
        url = self.settings.online_store_url
        config["online_store"] = online_config(url).stock(url)
        return config

    def _is_applied(self, view: View) -> bool:
        """Whether the registry has exactly this definition, without importing Feast.

        Raises FormatRefused.
        """
        import sqlalchemy

        url = self.settings.registry_url
        if url.startswith("sqlite:") and not sqlite_path(url).exists():
            return False
        query = sqlalchemy.text(
            "SELECT feature_view_proto FROM feature_views "
            "WHERE project_id = :project AND feature_view_name = :view"
        )
        with translated(self.settings):
            engine = sqlalchemy.create_engine(sqlalchemy_url(url), **engine_options(url))
        try:
            with engine.connect() as connection:
                check_format(self.settings, connection)
                found = connection.execute(
                    query, {"project": self.settings.project, "view": view.name}
                ).scalar()
        except sqlalchemy.exc.DatabaseError:
            return False  # no readable registry yet: applying raises the error, if there is one
        finally:
            engine.dispose()
        return found is not None and self._digest(view).encode() in bytes(found)

    def _digest(self, view: View) -> str:
        """Digest of a definition and the folder of its history; stored as a tag of the view."""
        place = History(self.settings).folder(view.name)
        return blake2b(f"{view!r} {place}".encode(), digest_size=16).hexdigest()

    def _apply(self, view: View, *, service: str | None) -> None:
        feast = import_feast()
        with self._applying() as store:
            feature_view = self._feature_view(view)
            objects: list[Any] = [self._entity, feature_view]
            if service is not None:
                objects.append(feast.FeatureService(name=service, features=[feature_view]))
            store.apply(objects)

    def _feature_view(self, view: View) -> FeatureView:
        """A feature view as Feast's object. It has no ttl: a user without changes is not stale."""
        feast = import_feast()
        types = feast.types
        kinds = {
            "Array(Float32)": types.Array(types.Float32),
            **{
                name: getattr(types, name)
                for name in ("Float32", "Int64", "Bool", "String", "UnixTimestamp")
            },
        }
        source = feast.FileSource(
            name=view.name,
            path=str(History(self.settings).folder(view.name)),
            timestamp_field=EVENT_TIMESTAMP_COLUMN,
            created_timestamp_column=CREATED_COLUMN,
        )
        return feast.FeatureView(
            name=view.name,
            description=view.description,
            entities=[self._entity],
            source=source,
            ttl=None,
            tags={DIGEST_TAG: self._digest(view)},
            schema=[
                feast.Field(name=JOIN_KEY, dtype=types.String),
                *(
                    feast.Field(
                        name=each.name, dtype=kinds[each.kind.value], description=each.description
                    )
                    for each in view.features
                ),
            ],
        )

    @cached_property
    def _entity(self) -> Entity:
        feast = import_feast()
        return feast.Entity(name=ENTITY, join_keys=[JOIN_KEY], value_type=feast.ValueType.STRING)

    @cached_property
    def _config(self) -> dict[str, Any]:
        online_url, registry_url = self.settings.online_store_url, self.settings.registry_url
        return {
            "project": self.settings.project,
            "provider": "local",
            "entity_key_serialization_version": 3,
            "registry": {
                "registry_type": "sql",
                "path": sqlalchemy_url(registry_url),
                "sqlalchemy_config_kwargs": {"echo": False, **engine_options(registry_url)},
                "cache_ttl_seconds": CACHE_SECONDS,
                "serve_features_while_materializing": True,
            },
            "online_store": online_config(online_url).ours(online_url),
            "offline_store": {"type": "dask"},
        }

    @cached_property
    def _store(self) -> FeatureStore:
        feast = import_feast()
        self.settings.home.mkdir(parents=True, exist_ok=True)
        keep_format(self.settings)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return feast.FeatureStore(config=feast.RepoConfig(**self._config))

    @contextmanager
    def _applying(self) -> Iterator[FeatureStore]:
        """Feast's facade, while this process holds the lock for applying."""
        with translated(self.settings), applying_alone(self.settings):
            store = self._store
            store.refresh_registry()
            yield store
