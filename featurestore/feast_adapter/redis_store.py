"""Feast's Redis online store, with rows ordered by commit time and deletion by project.

Pushes and materialisation through `FeatureRegistry.feast_store()` follow the same rule as matrix
writes: the newest timestamp wins, which the server decides. Reads and bytes are Feast's own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

from feast import Entity, FeatureView, RepoConfig
from feast.infra.online_stores.redis import RedisOnlineStore, RedisOnlineStoreConfig

from featurestore.feast_adapter.rows import Row, write_in_batches
from featurestore.online.redis_server import RedisServer, async_client
from featurestore.online.redis_store import NUM_USERS_ENCODED, RedisStore


class OrderedRedisOnlineStoreConfig(RedisOnlineStoreConfig):
    """The settings of Feast's store under this class's name, with the URL of the server."""

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
        write = partial(self._store(config).write_rows, table.name)
        write_in_batches(write, data, num_rows=NUM_USERS_ENCODED, progress=progress)

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
        """Record the views that stay and their features; drop the rows of views that go."""
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
        """The client that Feast reads with: same timeouts and URLs as the store's own."""
        if self._client is None:
            self._client = RedisServer(online_store_config.url).client
        return self._client

    async def _get_client_async(self, online_store_config: OrderedRedisOnlineStoreConfig) -> Any:
        if self._client_async is None:
            self._client_async = async_client(online_store_config.url)
        return self._client_async
