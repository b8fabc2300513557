"""Feast's configuration of the online store, by the scheme of its URL."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from featurestore.settings import sqlite_path
from foundation.errors import SettingInvalid
from foundation.url import without_secrets

Config = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlineConfig:
    """Configuration of our store, which orders rows, and of stock Feast on the same data."""

    ours: Callable[[str], Config]
    stock: Callable[[str], Config]


def online_config(url: str) -> OnlineConfig:
    """The configuration of a store. Raises SettingInvalid for an unknown scheme."""
    scheme = url.partition(":")[0]
    if scheme not in CONFIGS:
        raise SettingInvalid(
            f"MMGA_ONLINE_STORE_URL={without_secrets(url)} has no backend in this release: "
            f"use one of {', '.join(CONFIGS)}"
        )
    return CONFIGS[scheme]


def connection_string(url: str) -> str:
    """A Redis URL in stock Feast's syntax: `host:port`, then options as JSON after commas.

    A comma within a value is escaped, since Feast splits at commas before it reads the JSON.
    """
    from redis.connection import SSLConnection, parse_url

    options = {"host": "localhost", "port": 6379, **parse_url(url)}  # type: ignore[no-untyped-call]
    host, port = options.pop("host"), options.pop("port")
    if options.pop("connection_class", None) is SSLConnection:
        options["ssl"] = True
    words = [
        f"{name}={json.dumps(value)}".replace(",", "\\u002c") for name, value in options.items()
    ]
    return ",".join((f"{host}:{port}", *words))


CONFIGS = {
    "sqlite": OnlineConfig(
        ours=lambda url: {
            "type": "featurestore.feast_adapter.sqlite_store.OrderedSqliteOnlineStore",
            "path": str(sqlite_path(url)),
        },
        stock=lambda url: {"type": "sqlite", "path": str(sqlite_path(url))},
    ),
    **dict.fromkeys(
        ("redis", "rediss"),
        OnlineConfig(
            ours=lambda url: {
                "type": "featurestore.feast_adapter.redis_store.OrderedRedisOnlineStore",
                "url": url,
            },
            stock=lambda url: {"type": "redis", "connection_string": connection_string(url)},
        ),
    ),
}
