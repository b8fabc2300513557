"""Opens the online store that a URL names."""

from collections.abc import Callable

from featurestore.online.store import OnlineStore
from featurestore.settings import FeatureStoreSettings
from foundation.errors import SettingInvalid
from foundation.url import without_secrets


def open_online_store(settings: FeatureStoreSettings, *, read_only: bool = False) -> OnlineStore:
    """Open the store that the URL's scheme names.

    Raises SettingInvalid for an unknown scheme, StoreUnavailable, FormatRefused.
    """
    scheme = settings.online_store_url.partition(":")[0]
    if scheme not in BACKENDS:
        raise SettingInvalid(
            f"MMGA_ONLINE_STORE_URL={without_secrets(settings.online_store_url)} has no backend in "
            "this release: use sqlite:///PATH.db, redis://HOST:PORT/DB or rediss://"
        )
    return BACKENDS[scheme](settings, read_only)


def _open_sqlite(settings: FeatureStoreSettings, read_only: bool) -> OnlineStore:
    from featurestore.online.sqlite_store import SqliteStore

    return SqliteStore.open(settings, read_only=read_only)


def _open_redis(settings: FeatureStoreSettings, read_only: bool) -> OnlineStore:
    from featurestore.online.redis_store import RedisStore

    return RedisStore.open(settings, read_only=read_only)


BACKENDS: dict[str, Callable[[FeatureStoreSettings, bool], OnlineStore]] = {
    "sqlite": _open_sqlite,
    "redis": _open_redis,
    "rediss": _open_redis,
}
