"""The Redis backend: the conformance class, and what only Redis has."""

import multiprocessing
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count, islice
from pathlib import Path

import numpy as np
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from redis import Redis

from featurestore.errors import (
    FormatRefused,
    StoreUnavailable,
    StoreUnreachable,
)
from featurestore.feast_adapter.online_config import connection_string
from featurestore.online import redis_scan
from featurestore.online import redis_server as redis_server_module
from featurestore.online.entity_key import split_key
from featurestore.online.open import open_online_store
from featurestore.online.redis_rows import field, stamp, time_field, time_of
from featurestore.online.redis_scan import user_keys
from featurestore.online.redis_store import MAX_SCRIPT_BYTES, RedisStore
from featurestore.online.store import OnlineStore
from featurestore.settings import FeatureStoreSettings
from foundation.errors import SettingInvalid
from foundation.watermark import Watermark
from tests.featurestore.activation import make_active
from tests.featurestore.conformance import OTHER_VIEW, VIEW, OnlineStoreConformance, Opener
from tests.featurestore.redis_database import emptied
from tests.servers import Server, start_redis
from tests.servers.server import free_port


class TestRedisStore(OnlineStoreConformance):
    """All of the contract on Redis."""

    @pytest.fixture
    def opener(self, redis_settings: FeatureStoreSettings) -> Opener:
        def open_store(*, read_only: bool = False, project: str = "mmga") -> OnlineStore:
            named = replace(redis_settings, project=project)
            return open_online_store(named, read_only=read_only)

        return open_store


@pytest.fixture
def redis_settings(settings: FeatureStoreSettings, redis_url: str) -> FeatureStoreSettings:
    """A home whose online store is an empty database on Redis."""
    return replace(settings, online_store_url=redis_url)


@pytest.fixture(scope="module")
def new_store(redis_server: Server) -> Callable[[], OnlineStore]:
    """Opens an empty store at each call: a project of its own in one database."""
    url, numbers = emptied(redis_server.url, 14), count()
    return lambda: RedisStore.at(url, f"p{next(numbers)}")


def columns(num_users: int, value: float) -> dict[str, np.ndarray]:
    return {"x": np.full(num_users, value), "y": np.full(num_users, value)}


@pytest.fixture
def store(redis_settings: FeatureStoreSettings) -> Iterator[RedisStore]:
    """An empty store."""
    opened = RedisStore.open(redis_settings)
    yield opened
    opened.close()


@pytest.fixture
def client(redis_url: str) -> Iterator[Redis]:
    """Whoever else uses the server."""
    with Redis.from_url(redis_url) as opened:
        yield opened


@pytest.fixture
def own_server(redis_server: Server, tmp_path: Path) -> Iterator[Server]:
    """A server that a test may stop, beside the one that all share; 32 MB at most."""
    server = start_redis(tmp_path / "redis", maxmemory="32mb", maxmemory_policy="noeviction")
    yield server
    server.stop()


def test_an_empty_server_is_an_empty_store(redis_settings: FeatureStoreSettings) -> None:
    store = open_online_store(redis_settings, read_only=True)
    assert store.pointer().active is None
    assert store.views() == []
    assert not store.read(VIEW, ["a"], ["x"]).present.any()
    with pytest.raises(StoreUnavailable, match="open for reading only"):
        store.drop_view(VIEW)
    store.close()


def test_a_newer_format_is_refused(
    redis_settings: FeatureStoreSettings, store: RedisStore, client: Redis
) -> None:
    store.write(VIEW, ["a"], columns(1, 1), commit_time=1)
    client.set("mmga:mmga:format", 3)
    with pytest.raises(FormatRefused, match="install the newer version"):
        open_online_store(redis_settings)
    open_online_store(replace(redis_settings, project="other")).close()


def test_keys_are_those_of_feast_and_ours_are_apart(store: RedisStore, client: Redis) -> None:
    from feast.infra.online_stores.helpers import _mmh3, _redis_key
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    store.write(VIEW, ["Zoë"], columns(1, 1.5), commit_time=1_700_000_000_123_456)
    entity = EntityKey(join_keys=["user_id"], entity_values=[Value(string_val="Zoë")])
    key = _redis_key("mmga", entity)
    row = client.hgetall(key)
    assert set(row) == {_mmh3(f"{VIEW}:x"), _mmh3(f"{VIEW}:y"), f"_ts:{VIEW}".encode()}
    assert Value.FromString(row[_mmh3(f"{VIEW}:x")]).double_val == 1.5
    stamp = Timestamp.FromString(row[f"_ts:{VIEW}".encode()])
    assert stamp.ToMicroseconds() == 1_700_000_000_123_456
    make_active(store, "g1")
    store.set_watermark("statistics", Watermark(graph_id="g", version=1, commit_time=1))
    others = set(client.keys()) - {key}
    assert others == {
        f"mmga:mmga:{name}".encode()
        for name in ("format", "views", f"view:{VIEW}", "pointer", "watermarks")
    }


def test_two_projects_never_touch_each_other(redis_url: str) -> None:
    users = ["a", "b", "aplat", "amy_", "my_", "plat"]
    stores = {name: RedisStore.at(redis_url, name) for name in ("plat", "my_plat", "y_plat")}
    for store in stores.values():
        for view in (VIEW, OTHER_VIEW):
            store.write(view, users, columns(len(users), 1.0), commit_time=5)
    plat, mine, other = stores.values()
    plat.drop_view(VIEW)
    plat.delete(OTHER_VIEW, ["a"], before=9)
    plat.erase(["b"], before=9)
    assert sorted(user for page in plat.user_ids(OTHER_VIEW) for user in page) == sorted(users[2:])
    assert list(plat.user_ids(VIEW)) == []
    for store in (mine, other):
        assert store.views() == sorted([VIEW, OTHER_VIEW])
        for view in (VIEW, OTHER_VIEW):
            assert store.read(view, users, ["x"]).present.all()
            assert sorted(user for page in store.user_ids(view) for user in page) == sorted(users)
    for store in stores.values():
        store.close()


def test_rows_that_only_stock_feast_wrote_are_found_and_erased(
    store: RedisStore, client: Redis
) -> None:
    [key] = store._keys(["ann"])
    stamp = Timestamp(seconds=1_700_000_000).SerializeToString()
    foreign = {"_ts:theirs": stamp, "abcd": b"", f"_ts:{VIEW}": stamp, "efgh": b""}
    client.hset(key, mapping=foreign)
    assert list(store.user_ids("theirs")) == [["ann"]]
    assert store.read(VIEW, ["ann"], ["x"]).commit_times.tolist() == [1_700_000_000_000_000]
    assert store.erase(["ann"], before=1_699_999_999_999_999) == 0
    assert store.erase(["ann"], before=1_700_000_000_000_000) == 2
    assert not client.exists(key)


def test_a_dropped_view_leaves_no_field_behind(store: RedisStore, client: Redis) -> None:
    store.write(VIEW, ["a"], columns(1, 1.0), commit_time=1)
    store.write(OTHER_VIEW, ["a"], {"z": np.ones(1)}, commit_time=1)
    store.write(VIEW, ["a"], {"later": np.ones(1)}, commit_time=2)
    [key] = store._keys(["a"])
    store.drop_view(VIEW)
    assert set(client.hkeys(key)) == {field(OTHER_VIEW, "z"), time_field(OTHER_VIEW)}
    store.drop_view(OTHER_VIEW)
    assert client.keys() == [b"mmga:mmga:format"]


@given(data=st.data())
@hypothesis_settings(max_examples=40)
def test_answers_of_one_shape_are_read_as_those_of_many(
    new_store: Callable[[], OnlineStore], data: st.DataObject
) -> None:
    """Vectors wide enough to be read as a matrix, but for users who spoil that, wherever."""
    store = new_store()
    num = data.draw(st.integers(1, 60))
    users = [f"user{row:02d}" for row in range(num)]
    rng = np.random.default_rng(num)
    expected = rng.standard_normal((num, 1_500)).astype(np.float32)
    counts = np.arange(num) + 2**30
    times = np.full(num, 2_000_000)
    store.write(VIEW, users, {"v": expected, "n": counts}, commit_time=2_000_000)
    some = st.lists(st.integers(0, num - 1), max_size=2)
    for row in data.draw(some):
        store.write(VIEW, [users[row]], {"n": np.array([row])}, commit_time=2_000_001)
        counts[row], times[row] = row, 2_000_001
    gone = np.zeros(num, np.bool_)
    for row in data.draw(some):
        store.delete(VIEW, [users[row]], before=2**60)
        gone[row] = True
    rows = store.read(VIEW, users, ["v", "n"])
    assert rows.present.tolist() == rows.known["v"].tolist() == (~gone).tolist()
    assert rows.commit_times.tolist() == np.where(gone, 0, times).tolist()
    np.testing.assert_array_equal(rows.features["n"][~gone], counts[~gone])
    if not gone.all():
        np.testing.assert_array_equal(rows.features["v"][~gone], expected[~gone])
    store.close()


def test_many_vectors_are_read_in_pieces(store: RedisStore) -> None:
    users = [str(number) for number in range(2_500)]
    vectors = np.arange(2_500 * 32, dtype=np.float32).reshape(2_500, 32)
    store.write(VIEW, users, {"v": vectors}, commit_time=10**15)
    np.testing.assert_array_equal(store.read(VIEW, users, ["v"]).features["v"], vectors)
    store.delete(VIEW, ["2400"], before=10**15)
    rows = store.read(VIEW, users, ["v"])
    assert np.flatnonzero(~rows.known["v"]).tolist() == [2_400]
    np.testing.assert_array_equal(rows.features["v"][:2_400], vectors[:2_400])
    rows.features["v"][0] = 0  # an answer is its reader's own


@pytest.mark.parametrize("time", [0, 1, 999_999, 1_000_000, 2**53 + 1, 253_402_300_799_999_999])
def test_times_are_those_of_feast(time: int) -> None:
    message = Timestamp()
    message.FromMicroseconds(min(time, 253_402_300_799_999_999))
    assert stamp(time) == message.SerializeToString()
    assert time_of(stamp(time)) == time
    before = Timestamp(seconds=-5, nanos=1_000)
    assert time_of(before.SerializeToString()) == -4_999_999


def write_many(url: str, start: int) -> None:
    """One of several writers: rows whose value is their commit time."""
    store = RedisStore.at(url, "mmga")
    users = [f"user{number}" for number in range(300)]
    for step in range(40):
        time_ = 10**15 + (start * 7 + step * 4 + start) % 160
        store.write(VIEW, users, columns(300, float(time_)), commit_time=time_)
    store.close()


def test_writers_of_several_processes_leave_the_newest(redis_url: str) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write_many, args=(redis_url, start)) for start in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    newest = max(10**15 + (s * 7 + step * 4 + s) % 160 for s in range(2) for step in range(40))
    store = RedisStore.at(redis_url, "mmga", read_only=True)
    rows = store.read(VIEW, [f"user{number}" for number in range(300)], ["x", "y"])
    store.close()
    assert set(rows.commit_times.tolist()) == {newest}
    assert set(rows.features["x"].tolist()) == set(rows.features["y"].tolist()) == {float(newest)}


def test_scripts_are_short_and_are_sent_again_to_a_server_that_forgot_them(
    store: RedisStore, client: Redis
) -> None:
    vectors = {"v": np.zeros((2_000, 768), np.float32)}
    users = [str(number) for number in range(2_000)]
    store.write(VIEW, users, vectors, commit_time=1)
    client.script_flush()
    client.config_resetstat()
    assert store.write(VIEW, users, vectors, commit_time=2) == 2_000
    calls = client.info("commandstats")["cmdstat_evalsha"]
    assert calls["calls"] - calls["failed_calls"] >= 2_000 * 3_079 // (MAX_SCRIPT_BYTES + 4_000)
    assert client.script_flush()
    assert store.delete(VIEW, users, before=2) == 2_000


def test_a_server_that_was_started_again_is_used_again(own_server: Server) -> None:
    store = RedisStore.at(own_server.url, "mmga")
    store.write(VIEW, ["a", "b"], columns(2, 1.0), commit_time=1)
    own_server.stop()
    with pytest.raises(StoreUnreachable, match="does not answer") as raised:
        store.read(VIEW, ["a"], ["x"])
    assert "password" not in str(raised.value)
    own_server.start()
    assert store.read(VIEW, ["a", "b"], ["x"]).present.all()
    own_server.stop()
    own_server.start()
    assert store.write(VIEW, ["a", "b"], columns(2, 2.0), commit_time=2) == 2
    assert list(store.user_ids(VIEW)) == [["a", "b"]] or list(store.user_ids(VIEW)) == [["b", "a"]]
    store.close()


def test_a_server_that_does_not_answer_is_given_up_in_seconds(
    own_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(redis_server_module.OPTIONS, "socket_timeout", 0.3)
    store = RedisStore.at(own_server.url, "mmga")
    own_server.pause()
    start = time.monotonic()
    with pytest.raises(StoreUnreachable, match="does not answer"):
        store.read(VIEW, ["a"], ["x"])
    with pytest.raises(StoreUnreachable, match="does not answer"):
        store.pointer()
    own_server.resume()
    assert time.monotonic() - start < 5
    store.close()


def test_a_full_server_says_so_and_keeps_rows_whole(own_server: Server) -> None:
    store = RedisStore.at(own_server.url, "mmga")
    users = [f"user{number}" for number in range(20_000)]
    vectors = np.ones((len(users), 768), np.float32)
    with pytest.raises(StoreUnavailable, match="full: raise its maxmemory"):
        store.write(VIEW, users, {"a": vectors, "b": vectors}, commit_time=1)
    rows = store.read(VIEW, users, ["a", "b"])
    assert 0 < rows.present.sum() < len(users)
    assert (rows.known["a"] == rows.known["b"]).all()
    assert rows.known["a"].tolist() == rows.present.tolist()
    assert store.erase(users, before=1) == rows.present.sum()
    assert store.write(VIEW, ["a"], columns(1, 1.0), commit_time=1) == 1
    store.close()


def test_a_server_that_may_evict_rows_is_not_written(own_server: Server) -> None:
    with Redis.from_url(own_server.url) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
    with pytest.raises(StoreUnavailable, match="set its maxmemory-policy to noeviction"):
        RedisStore.at(own_server.url, "mmga")
    RedisStore.at(own_server.url, "mmga", read_only=True).close()


def test_a_wrong_password_is_one_line_without_it(redis_server: Server) -> None:
    url = f"redis://:sesame,open@{redis_server.host}:{redis_server.port}/0"
    with pytest.raises(StoreUnavailable, match="check user and password") as raised:
        RedisStore.at(url, "mmga")
    assert "sesame" not in str(raised.value)
    assert f"redis://{redis_server.host}:{redis_server.port}/0" in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis://:se/same@host:6379/0",
        "redis://:sesame@host:port/0",
        "redis://:sesame@host:6379/0?unheard_of=1",
        "redis://:sesame@host:6379/0?socket_timeout=soon",
    ],
)
def test_a_url_that_names_no_server_is_one_line_without_its_password(url: str) -> None:
    with pytest.raises(SettingInvalid, match="redis\\[s\\]://") as raised:
        RedisStore.at(url, "mmga")
    assert "same" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_closed_store_says_so(redis_url: str) -> None:
    store = RedisStore.at(redis_url, "mmga")
    store.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        store.read(VIEW, ["a"], ["x"])


@pytest.mark.usefixtures("redis_server")
def test_features_travel_encrypted(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-nodes", "-days", "2", "-keyout", str(key), "-out", str(certificate),
            "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost",
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    port = free_port()
    server = start_redis(
        tmp_path / "redis",
        tls_port=str(port),
        tls_cert_file=str(certificate),
        tls_key_file=str(key),
        tls_ca_cert_file=str(certificate),
        tls_auth_clients="no",
    )
    try:
        url = f"rediss://:password@127.0.0.1:{port}/0"
        store = RedisStore.at(f"{url}?ssl_ca_certs={certificate}", "mmga")
        users, vectors = [str(row) for row in range(100)], np.ones((100, 768), np.float32)
        store.write(VIEW, users, {"v": vectors}, commit_time=1)
        np.testing.assert_array_equal(store.read(VIEW, users, ["v"]).features["v"], vectors)
        store.close()
        with pytest.raises(StoreUnreachable, match="certificate verify failed"):
            RedisStore.at(url, "mmga")
    finally:
        server.stop()


def test_stock_feast_is_told_every_option_of_the_url() -> None:
    from feast.infra.online_stores.redis import RedisOnlineStore

    url = "rediss://me:p%2Ca%3Ass%221e5@host:7000/3?ssl_ca_certs=/a,b.pem&socket_timeout=2.5"
    nodes, options = RedisOnlineStore._parse_connection_string(connection_string(url))
    assert nodes == [{"host": "host", "port": "7000"}]
    assert options == {
        "username": "me",
        "password": 'p,a:ss"1e5',
        "db": 3,
        "ssl": True,
        "ssl_ca_certs": "/a,b.pem",
        "socket_timeout": 2.5,
    }
    numeric = RedisOnlineStore._parse_connection_string(connection_string("redis://:1e5@host"))
    assert numeric[1] == {"password": "1e5"}


def test_a_scan_that_a_restart_interrupts_finds_everybody(
    own_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_scan, "NUM_KEYS_SCANNED", 10)
    store = RedisStore.at(own_server.url, "mmga")
    users = [f"user{number}" for number in range(500)]
    store.write(VIEW, users, columns(500, 1.0), commit_time=1)
    found: list[str] = []
    pages = user_keys(store.server, b"mmga")
    for keys in islice(pages, 20):
        found += (split_key(key)[0] for key in keys)
    assert 0 < len(found) < 500
    own_server.stop()
    own_server.start()
    found += (split_key(key)[0] for keys in pages for key in keys)
    assert set(found) == set(users)
    store.close()


def test_the_rights_that_the_documentation_names_are_enough(own_server: Server) -> None:
    text = Path(__file__).parents[2].joinpath("docs/feature_store.md").read_text(encoding="utf-8")
    [words] = re.findall(r"\*\*Rights\*\*: `([^`]*)`", text)
    with Redis.from_url(own_server.url) as admin:
        admin.acl_setuser(
            "mmga",
            enabled=True,
            passwords=["+sesame"],
            keys=["*"],
            commands=[f"+{word.lower()}" for word in words.split()],
        )
    url = own_server.url.replace(":password@", "mmga:sesame@")
    store = RedisStore.at(url, "mmga")
    store.register_view(VIEW, ["x", "y"])
    store.write(VIEW, ["a", "b"], columns(2, 1.0), commit_time=1)
    store.set_watermark("statistics", Watermark(graph_id="g", version=1, commit_time=1))
    make_active(store, "g1")
    assert store.watermark("statistics") is not None
    assert store.pointer().active == "g1"
    assert store.read(VIEW, ["a"], ["x"]).present.all()
    assert store.erase(["a"], before=1) == 1
    assert list(store.user_ids(VIEW)) == [["b"]]
    store.drop_view(VIEW)
    assert store.views() == []
    with pytest.raises(StoreUnavailable, match="refuses this user"):
        store.server.run(lambda client: client.flushall())
    store.close()
