"""Generations are activated, rolled back, pinned and dropped."""

import shutil
from copy import deepcopy
from dataclasses import replace
from functools import partial
from itertools import chain

import numpy as np
import pytest

from featurestore.definitions import representation_name
from featurestore.errors import (
    ArtifactCorrupt,
    GenerationForeign,
    GenerationInUse,
    GenerationMissing,
    GenerationRefused,
)
from featurestore.generations.generation import Generations
from featurestore.settings import FeatureStoreSettings
from graphdb.errors import StageBusy
from graphdb.facts import Batch, UserDeletion
from graphdb.snapshot.snapshot import take_snapshot
from tests.featurestore.redis_database import emptied
from tests.graphdb.made_facts import profile
from tests.graphdb.oracle import GraphOracle, Memory
from tests.servers import Server
from tests.training.publishing.killed import STEPS, killed_at
from tests.training.publishing.small_publication import (
    CATCH_UP,
    NEVER,
    NEW,
    OLD,
    USERS,
    assert_serves,
    opened,
    publication,
    published,
    small_graph,
    vectors,
)
from training.publishing import catch_up
from training.publishing.activation import activate, roll_back
from training.publishing.catch_up import CatchUp
from training.publishing.drop import drop
from training.publishing.publish import publish
from training.publishing.sweep import sweep

ALL_BUT_THE_FIFTH = np.array([user_id != USERS[4] for user_id in USERS])


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A graph, its old generation and the new one, which is active, and the home of both."""
    root, store = tmp_path_factory.mktemp("two"), small_graph()
    settings = FeatureStoreSettings.at(root / "home")
    made = {
        OLD: publication(store, root, OLD, seed=1),
        NEW: publication(store, root, NEW, seed=2),
    }
    for each in made.values():
        published(each, store, settings)
    return store, made, settings.home


@pytest.fixture
def store(template):
    return deepcopy(template[0])


@pytest.fixture
def two(template, settings):
    """The two generations, in a home of the test's own."""
    _, made, home = template
    shutil.copytree(home, settings.home)
    return made


@pytest.fixture
def stores(two, store, settings):
    with opened(store, settings) as stores:
        yield stores


def leave(store, user_id=USERS[4]):
    store.apply(Batch(user_deletions=[UserDeletion(user_id=user_id, time=99)]))


def test_what_is_current_is_activated_in_one_write(two, stores, settings):
    pointer = activate(stores, OLD, NEVER, reason="it was better")
    assert (pointer.active, pointer.previous, pointer.reason) == (OLD, NEW, "it was better")
    assert pointer == stores.online.pointer()
    assert stores.registry.active_service() == OLD
    assert_serves(settings, two[OLD])
    assert activate(stores, OLD, NEVER, reason="again") == pointer


def test_activation_catches_up_first(two, stores, store, settings):
    leave(store)
    activate(stores, OLD, CATCH_UP, reason="")
    assert_serves(settings, two[OLD], ALL_BUT_THE_FIFTH)
    mark = stores.online.watermark(representation_name(OLD))
    assert mark.version == store.head().version
    assert stores.indexes.watermark(OLD) == mark
    assert USERS[4] not in stores.indexes.load(OLD)[1].user_ids
    rows = stores.online.read(representation_name(OLD), USERS[:1], ["graph_version"])
    assert rows.features["graph_version"].tolist() == [mark.version]
    assert rows.commit_times.tolist() == [store.head().commit_time]


def test_a_rollback_is_undone_by_another(two, stores, settings):
    pointer = roll_back(stores, NEVER, reason="complaints")
    assert (pointer.active, pointer.previous) == (OLD, NEW)
    assert_serves(settings, two[OLD])
    last = stores.generations.verdicts(NEW).last()
    assert (last.kind, last.ok, last.reasons) == ("rolled back", False, ("complaints",))
    assert roll_back(stores, NEVER).active == NEW


def test_a_rollback_now_serves_what_is_there_and_then_catches_up(
    two,
    stores,
    store,
):
    leave(store)
    active_while_encoding = []

    def encode(generation, snapshot, *, all_follows):
        active_while_encoding.append(stores.online.pointer().active)
        return CATCH_UP.encode(generation, snapshot)

    roll_back(stores, CatchUp(encode=encode), now=True)
    roll_back(stores, CatchUp(encode=encode))
    assert active_while_encoding == [OLD, OLD]
    assert stores.online.watermark(representation_name(OLD)).version == store.head().version


def test_a_rollback_now_needs_vectors(two, stores):
    stores.online.drop_view(representation_name(OLD))
    stores.online.drop_watermark(representation_name(OLD))
    with pytest.raises(GenerationMissing, match="without --now"):
        roll_back(stores, CATCH_UP, now=True)
    assert roll_back(stores, CATCH_UP).active == OLD


def test_without_a_previous_one_there_is_no_rollback(store, settings):
    with opened(store, settings) as stores, pytest.raises(GenerationMissing, match="previous"):
        roll_back(stores, NEVER)


def test_a_changed_file_is_refused(two, stores, settings):
    (settings.generations_root / OLD / "model.safetensors").write_bytes(b"weightz")
    with pytest.raises(ArtifactCorrupt, match="restore it"):
        activate(stores, OLD, NEVER, reason="")
    with pytest.raises(ArtifactCorrupt):
        roll_back(stores, NEVER, now=True)
    assert_serves(settings, two[NEW])


def test_a_generation_of_another_graph_is_refused(two, stores):
    other = GraphOracle(Memory(graph_id="other"))
    other.apply(Batch(profiles=[profile(user_id, 1) for user_id in USERS]))
    with pytest.raises(GenerationForeign, match="trained on graph graph, this graph is other"):
        activate(replace(stores, graph=other), OLD, NEVER, reason="")
    with pytest.raises(GenerationForeign):
        publish(two[OLD], replace(stores, graph=other), NEVER)
    assert stores.online.pointer().active == NEW


def test_what_did_not_pass_is_served_only_by_force(two, store, settings, tmp_path):
    unsound = publication(store, tmp_path, "g3", seed=3)
    unsound = replace(unsound, vectors=replace(vectors(3), text=np.ones((12, 5), np.float32)))
    assert not published(unsound, store, settings, NEVER).is_active
    with opened(store, settings) as stores:
        with pytest.raises(GenerationRefused, match=r"collapsed.*--force REASON"):
            activate(stores, "g3", CATCH_UP, reason="")
        pointer = activate(stores, "g3", CATCH_UP, reason="the demo", forced=True)
        last = stores.generations.verdicts("g3").last()
    assert (pointer.active, pointer.reason) == ("g3", "the demo")
    assert (last.kind, last.reasons) == ("forced", ("the demo",))


def test_what_the_online_store_has_lost_is_encoded_again(
    two,
    store,
    settings,
    redis_server: Server,
):
    url = emptied(redis_server.url, 12)
    lost = replace(settings, online_store_url=url, registry_url=f"sqlite:///{settings.home}/2.db")
    leave(store)
    with opened(store, lost) as stores:
        sweep(stores)
        activate(stores, NEW, CATCH_UP, reason="restored")
        activate(stores, NEW, NEVER, reason="restored")
        assert stores.registry.active_service() == NEW
    assert_serves(lost, two[NEW], ALL_BUT_THE_FIFTH)


def test_a_dropped_generation_leaves_nothing(two, stores, store, settings, tmp_path):
    publish_third(stores, store, tmp_path)
    stores.online.change_pointer(lambda found: found.with_pin(OLD))
    for generation_id, role in ((OLD, "pinned"), (NEW, "previous"), ("g3", "active")):
        with pytest.raises(GenerationInUse, match=role):
            drop(stores, generation_id)
    stores.online.change_pointer(lambda found: found.without_pin(OLD))
    drop(stores, OLD)
    assert_gone(stores, settings, OLD)
    with pytest.raises(GenerationMissing):
        drop(stores, OLD)
    assert_serves(settings, publication(store, tmp_path, "g3", seed=3))


def each_death(home, start, work, check):
    """Run `work` on copies of a home, killed at each border of a step in turn, then `check`."""
    moment = 0
    while True:
        moment += 1
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(start.home, home)
        settings = FeatureStoreSettings.at(home)
        if not killed_at(moment, partial(work, settings), STEPS):
            return moment - 1
        check(settings)


@pytest.mark.slow
def test_a_drop_that_is_killed_is_finished_by_the_next_command(
    two,
    store,
    settings,
    tmp_path,
):
    with opened(store, settings) as stores:
        publish_third(stores, store, tmp_path)

    def work(copy):
        with opened(store, copy) as stores:
            drop(stores, OLD)

    def check(copy):
        with opened(store, copy) as stores:
            sweep(stores)
            if OLD in [each.id for each in stores.generations.list()]:
                drop(stores, OLD)
            assert_gone(stores, copy, OLD)

    assert each_death(tmp_path / "copy", settings, work, check) > 14


@pytest.mark.slow
@pytest.mark.parametrize("now", [False, True])
def test_a_rollback_that_is_killed_for_good_keeps_no_vector_of_who_left(
    two,
    store,
    settings,
    tmp_path,
    now,
):
    """The change feed has delivered the deletion before: nobody else would delete the row."""
    leave(store, USERS[0])
    outdated = take_snapshot(store, tmp_path / "outdated")
    leave(store)
    with opened(store, settings) as stores:
        stores.online.erase([USERS[0], USERS[4]], before=store.head().commit_time)

    def encode(generation, snapshot, *, all_follows):
        return CATCH_UP.encode(generation, outdated)

    def work(copy):
        with pytest.MonkeyPatch.context() as patched, opened(store, copy) as stores:
            patched.setattr(catch_up, "take_snapshot", lambda *_: outdated)
            roll_back(stores, CatchUp(encode=encode), now=now)

    active_after = set()

    def check(copy):
        with opened(store, copy) as stores:
            sweep(stores)
            active = stores.online.pointer().active
            assert stores.registry.active_service() == active
            for generation_id in (OLD, NEW):
                pages = stores.online.user_ids(representation_name(generation_id))
                assert {USERS[0], USERS[4]}.isdisjoint(chain.from_iterable(pages))
        active_after.add(active)

    assert each_death(tmp_path / "copy", settings, work, check) > 14
    assert active_after == {OLD, NEW}


def publish_third(stores, store, tmp_path):
    """A third generation, active, so that OLD is neither active nor previous."""
    assert publish(publication(store, tmp_path, "g3", seed=3), stores, NEVER).is_active


def assert_gone(stores, settings, generation_id):
    view = representation_name(generation_id)
    assert generation_id not in [each.id for each in Generations(settings).list()]
    assert view not in stores.online.views()
    assert stores.online.watermark(view) is None
    assert not stores.history.folder(view).exists()
    assert stores.indexes.newest(generation_id) is None
    feast = stores.registry.feast_store()
    assert view not in [each.name for each in feast.list_feature_views()]
    assert view not in [each.name for each in feast.list_feature_services()]
    assert not [path for path in settings.home.rglob("*") if generation_id in path.name]


def test_one_process_publishes_at_a_time(two, stores, store, settings):
    with pytest.raises(StageBusy, match="publishing already runs"), opened(store, settings):
        pass
