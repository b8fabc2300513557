"""Feast's SQLite online store, with rows ordered by commit time, locks and a write-ahead log.

Pushes and materialisation through `FeatureRegistry.feast_store()` follow the same rule as matrix
writes: the newest timestamp wins. Reads, tables and bytes are Feast's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from feast import Entity, FeatureView, RepoConfig
from feast.infra.online_stores.sqlite import SqliteOnlineStore, SqliteOnlineStoreConfig

from featurestore.feast_adapter.rows import Row, write_in_batches
from featurestore.online.sqlite_store import MAX_TRANSACTION_ROWS, SqliteStore


class OrderedSqliteOnlineStoreConfig(SqliteOnlineStoreConfig):
    """The settings of Feast's store under this class's name."""

    type: Literal["featurestore.feast_adapter.sqlite_store.OrderedSqliteOnlineStore"] = (
        "featurestore.feast_adapter.sqlite_store.OrderedSqliteOnlineStore"
    )


class OrderedSqliteOnlineStore(SqliteOnlineStore):
    """Feast's store; a write never replaces a row of a later time."""

    _ordered: SqliteStore | None = None

    def online_write_batch(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: list[Row],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Write rows in short transactions, each at the microsecond of its timestamp."""
        write = partial(self._store(config).write_rows, table.name)
        num_rows = max(1, MAX_TRANSACTION_ROWS // (len(table.features) + 1))
        write_in_batches(write, data, num_rows=num_rows, progress=progress)

    def update(
        self,
        config: RepoConfig,
        tables_to_delete: Sequence[FeatureView],
        tables_to_keep: Sequence[FeatureView],
        entities_to_delete: Sequence[Entity],
        entities_to_keep: Sequence[Entity],
        partial: bool,
    ) -> None:
        """Make the tables of views that stay; drop those of views that go."""
        store = self._store(config)
        for table in tables_to_keep:
            store.register_view(table.name)
        for table in tables_to_delete:
            store.drop_view(table.name)

    def _store(self, config: RepoConfig) -> SqliteStore:
        if self._ordered is None:
            self._ordered = SqliteStore.at(Path(self._get_db_path(config)), config.project)
        return self._ordered
