"""Feast's Redis online store with our order of rows, and deletions that keep to their project.

Whoever pushes or materialises through our `feast.FeatureStore` writes by the same rules as the
matrix path: the newest timestamp wins, decided inside the server. Reads and bytes are Feast's own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Literal

from feast import Entity, FeatureView, RepoConfig
from feast.infra.online_stores.redis import RedisOnlineStore, RedisOnlineStoreConfig

from featurestore.feast_adapter.rows import Row, encoded_row
from featurestore.online.redis_server import RedisServer, async_client
from featurestore.online.redis_store import NUM_USERS_ENCODED, RedisStore


class OrderedRedisOnlineStoreConfig(RedisOnlineStoreConfig):
    """The settings of Feast's store, under this one's name; the server is named by its URL."""

    type: Literal["featurestore.feast_adapter.redis_store.OrderedRedisOnlineStore"] = (
        "featurestore.feast_adapter.redis_store.OrderedRedisOnlineStore"
    )
    url: str


class OrderedRedisOnlineStore(RedisOnlineStore):
    """Feast's store; a write never replaces a row of a later time."""

    _ordered: RedisStore | None = None
    _client: Any = None
    _client_async: Any = None

    def online_write_batch(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: list[Row],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Write rows by short scripts, each at the microsecond of its timestamp."""
        store = self._store(config)
        for start in range(0, len(data), NUM_USERS_ENCODED):
            chunk = data[start : start + NUM_USERS_ENCODED]
            store.write_rows(table.name, [encoded_row(row) for row in chunk])
            if progress:
                progress(len(chunk))

    async def online_write_batch_async(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: list[Row],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Write rows as `online_write_batch` does, in a thread."""
        await asyncio.to_thread(self.online_write_batch, config, table, data, progress)

    def update(
        self,
        config: RepoConfig,
        tables_to_delete: Sequence[FeatureView],
        tables_to_keep: Sequence[FeatureView],
        entities_to_delete: Sequence[Entity],
        entities_to_keep: Sequence[Entity],
        partial: bool,
    ) -> None:
        """Make views and their features known, drop the rows of views that went."""
        store = self._store(config)
        for table in tables_to_keep:
            store.register_view(table.name, [each.name for each in table.features])
        for table in tables_to_delete:
            self.delete_table(config, table)

    def delete_table(self, config: RepoConfig, table: FeatureView) -> None:
        """Delete all rows of a view, in this project alone."""
        store = self._store(config)
        store.register_view(table.name, [each.name for each in table.features])
        store.drop_view(table.name)

    def teardown(
        self, config: RepoConfig, tables: Sequence[FeatureView], entities: Sequence[Entity]
    ) -> None:
        """Delete all rows of these views, in this project alone."""
        for table in tables:
            self.delete_table(config, table)

    def _store(self, config: RepoConfig) -> RedisStore:
        if self._ordered is None:
            self._ordered = RedisStore.at(config.online_store.url, config.project)
        return self._ordered

    def _get_client(self, online_store_config: OrderedRedisOnlineStoreConfig) -> Any:
        """Feast reads through this: our timeouts, and any URL that ours takes."""
        if self._client is None:
            self._client = RedisServer(online_store_config.url).client
        return self._client

    async def _get_client_async(self, online_store_config: OrderedRedisOnlineStoreConfig) -> Any:
        if self._client_async is None:
            self._client_async = async_client(online_store_config.url)
        return self._client_async
