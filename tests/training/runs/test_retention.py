"""What is dropped, what stays, and that a home stays bounded however often it publishes."""

import sqlite3
from contextlib import closing

import pytest
from redis import Redis

from featurestore.definitions import representation_name
from featurestore.settings import FeatureStoreSettings
from graphdb.facts import Batch
from graphdb.snapshot.snapshot import take_snapshot
from tests.featurestore.redis_database import emptied
from tests.graphdb.made_facts import profile
from tests.servers import Server
from tests.training.publishing.killed import killed_at
from tests.training.publishing.small_publication import (
    CATCH_UP,
    USERS,
    opened,
    publication,
    small_graph,
    vectors,
)
from training.mmga.recipes import recipe
from training.publishing.publish import publish
from training.publishing.sweep import sweep
from training.runs.retention import retire, surplus
from training.runs.run_folder import begin, finish
from training.settings import TrainingSettings

VECTORS = vectors(1)


@pytest.fixture
def store():
    return small_graph()


@pytest.fixture
def settings(tmp_path):
    return FeatureStoreSettings.at(tmp_path / "home")


@pytest.mark.parametrize(
    ("oldest_first", "keep", "in_use", "expected"),
    [
        ("", 2, "", ""),
        ("ab", 2, "", ""),
        ("abc", 2, "", "a"),
        ("abcde", 2, "b", "ac"),
        ("abcde", 2, "ae", "bc"),
        ("abcde", 1, "abcde", ""),
        ("abc", 1, "z", "ab"),
    ],
)
def test_the_newest_and_what_is_in_use_stay(oldest_first, keep, in_use, expected):
    assert surplus(list(oldest_first), keep=keep, in_use=set(in_use)) == list(expected)


def published(store, stores, number):
    """Publish a generation of the same vectors over a snapshot of its own, as a run does."""
    store.apply(Batch(profiles=[profile(USERS[0], number + 2)]))
    home = stores.training.home
    publish(publication(store, home, f"g{number:02d}", made=VECTORS), stores, CATCH_UP)


def footprint(stores):
    """How much each store holds."""
    home = stores.training.home
    registry = stores.registry.feast_store()
    return {
        "files": sum(1 for path in home.rglob("*") if path.is_file()),
        "generations": len(stores.generations.list()),
        "snapshots": len(list((home / "snapshots" / "graph").glob("[0-9]*"))),
        "online views": len(stores.online.views()),
        "registered views": len(registry.list_feature_views()),
        "registered services": len(registry.list_feature_services()),
        "sources": len(registry.list_data_sources()),
    }


def test_what_is_served_pinned_or_read_by_a_run_stays(store, settings):
    training = TrainingSettings(home=settings.home, keep_generations=1, keep_snapshots=1)
    with opened(store, settings) as stores:
        for number in range(5):
            published(store, stores, number)
            if number == 1:
                stores.online.change_pointer(lambda found: found.with_pin("g01"))
                read = take_snapshot(store, training.snapshots).path.absolute()
        unfinished = begun(training, read)
        retire(stores, training)
        assert [each.id for each in stores.generations.list()] == ["g01", "g03", "g04"]
        versions = sorted(int(path.name) for path in read.parent.glob("[0-9]*"))
        assert versions == [int(read.name), store.head().version]
        finish(unfinished, None)
        retire(stores, training)
        assert not read.exists()


def begun(training, snapshot):
    return begin(
        training.runs,
        recipe("smoke"),
        seeds=[0],
        workers=1,
        graph_id="graph",
        version=int(snapshot.name),
        snapshot=snapshot,
        code_version="1",
        environment={},
    )


@pytest.mark.slow
def test_retention_may_be_killed_anywhere(store, settings, tmp_path):
    training = TrainingSettings(home=settings.home, keep_generations=1, keep_snapshots=1)
    for moment in range(1, 200, 9):
        with opened(store, settings) as stores:
            sweep(stores)
            for number in range(moment, moment + 2):
                published(store, stores, number)
        was_killed = killed_at(moment, lambda: retired(store, settings, training))
        with opened(store, settings) as stores:
            sweep(stores)
            retire(stores, training)
            found = footprint(stores)
            assert found == {
                **found,
                "generations": 2,
                "snapshots": 1,
                "online views": 2,
                "registered views": 2,
                "sources": 2,
            }
        if not was_killed:
            return


def retired(store, settings, training):
    with opened(store, settings) as stores:
        retire(stores, training)


def assert_bounded(store, settings, measure):
    """Fifty publications, each with the stores opened for it, leave as much as ten."""
    training = TrainingSettings(home=settings.home)
    found, sizes = {}, {}
    for number in range(50):
        with opened(store, settings) as stores:
            published(store, stores, number)
            retire(stores, training)
            found[number], views = footprint(stores), stores.online.views()
        sizes[number] = measure()
    assert found[49] == found[10]
    assert sizes[49] < 1.1 * sizes[10]
    assert found[49]["generations"] == training.keep_generations
    assert found[49]["snapshots"] == training.keep_snapshots
    assert views == [representation_name(f"g{number}") for number in range(45, 50)]


@pytest.mark.slow
def test_fifty_publications_leave_as_much_as_ten(store, settings):
    """The write-ahead log, whose size SQLite bounds, is emptied to measure."""

    def num_bytes():
        with closing(sqlite3.connect(settings.home / "online.db")) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return sum(each.stat().st_size for each in settings.home.rglob("*"))

    assert_bounded(store, settings, num_bytes)


def test_fifty_publications_leave_as_much_as_ten_in_redis(
    store,
    tmp_path,
    redis_server: Server,
):
    url = emptied(redis_server.url)
    with Redis.from_url(url) as client:

        def num_fields():
            return sum(client.hlen(key) for key in client.scan_iter(_type="HASH"))

        settings = FeatureStoreSettings.at(tmp_path / "home", online_store_url=url)
        assert_bounded(store, settings, num_fields)
