import json
import shutil
from dataclasses import replace
from functools import partial
from itertools import chain

import numpy as np
import pytest

from featurestore.definitions import representation_name
from featurestore.feast_adapter.registry import FeatureRegistry
from featurestore.generations.generation import Generations
from featurestore.generations.indexes import BaseIndexes
from featurestore.heads import load_head
from featurestore.history import History
from featurestore.online.open import open_online_store
from featurestore.representation import representation
from featurestore.settings import FeatureStoreSettings
from graphdb.facts import Batch, UserDeletion
from tests.training.publishing.killed import killed_at
from tests.training.publishing.small_publication import (
    NEW,
    OLD,
    USERS,
    assert_serves,
    encoded,
    opened,
    publication,
    published,
    served,
    vectors,
)
from training.publishing import projection
from training.publishing.catch_up import CatchUp
from training.publishing.sweep import sweep


def test_every_user_is_served_with_provenance(store, settings, tmp_path):
    told = []
    made = publication(store, tmp_path)
    catch_up = CatchUp(encode=encoded, progress=lambda *step: told.append(step))
    result = published(made, store, settings, catch_up)
    assert (result.is_active, result.reasons) == (True, ())
    assert (result.num_users, result.num_left) == (12, 0)
    assert told == [("publish", 12, 12)]
    assert_serves(settings, made)
    online = open_online_store(settings, read_only=True)
    rows = online.read(
        representation_name(NEW), USERS[:1], ["graph_version", "computed_at", "provisional"]
    )
    assert rows.features["graph_version"].tolist() == [made.snapshot.version]
    assert rows.features["provisional"].tolist() == [False]
    assert not np.isnat(rows.features["computed_at"]).any()
    assert rows.commit_times.tolist() == [made.snapshot.commit_time]
    mark = online.watermark(representation_name(NEW))
    assert (mark.graph_id, mark.version) == ("graph", made.snapshot.version)
    online.close()
    assert FeatureRegistry(settings).active_service() == NEW


def test_the_generation_holds_all_that_made_it(store, settings, tmp_path):
    made = publication(store, tmp_path)
    published(made, store, settings)
    generation = Generations(settings).active()
    generation.verify()
    assert (generation.path / "model.safetensors").read_bytes() == b"weights"
    assert (generation.path / "tokenizer.json").read_text() == "{}"
    assert json.loads((generation.path / "evaluation.json").read_text()) == {"figures": []}
    heads = json.loads((generation.path / "heads" / "heads.json").read_text())
    assert heads == {
        "topic ../../é": {"file": "0.safetensors", "input": "pair", "classes": ["follow"]}
    }
    head = load_head(generation.path / "heads" / "0.safetensors")
    assert head.layers[0][0].shape == (1, 12)
    assert generation.manifest["recipe"] == "tiny"
    [verdict] = Generations(settings).verdicts(NEW).read()
    assert (verdict.kind, verdict.ok, verdict.reasons) == ("promotion", True, ())
    assert set(verdict.figures["sound"]["spread"]) == {"graph", "image", "text"}
    assert generation.dims == {"graph": 4, "image": 3, "text": 5}
    parts = made.vectors
    R = representation(parts.graph, parts.image, parts.text, generation.scales)
    _, index = BaseIndexes(settings).load(NEW)
    assert np.array_equal(index.representations, R)
    assert index.top_k(R[3], 1)[0][0] == USERS[3]


def test_history_keeps_each_published_matrix(store, settings, tmp_path):
    made = publication(store, tmp_path)
    published(made, store, settings)
    at = np.full(2, made.snapshot.commit_time)
    rows = History(settings).as_of(representation_name(NEW), USERS[:2], at, ["text"])
    assert np.array_equal(rows.features["text"], made.vectors.text[:2])


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda made: np.full_like(made, np.nan), "not finite"),
        (lambda made: np.ones_like(made), "collapsed"),
        (lambda made: made[:-1], "11 of 12"),
    ],
)
def test_what_is_not_sound_is_kept_and_not_served(store, settings, tmp_path, spoil, reason):
    old = publication(store, tmp_path, OLD)
    published(old, store, settings)
    bad = replace(vectors(2), graph=spoil(vectors(2).graph))
    unsound = replace(publication(store, tmp_path), vectors=bad, heads={})
    if reason == "11 of 12":
        unsound = replace(
            unsound,
            vectors=replace(
                bad,
                **{
                    name: getattr(bad, name)[:11]
                    for name in ("image", "text", "has_image", "has_text")
                },
            ),
        )
    result = published(unsound, store, settings)
    assert not result.is_active
    assert any(reason in each for each in result.reasons)
    assert_serves(settings, old)
    kept = Generations(settings).get(NEW)
    kept.verify()
    assert not Generations(settings).verdicts(NEW).promotion().ok
    assert representation_name(NEW) not in open_online_store(settings, read_only=True).views()


def test_users_that_left_since_the_snapshot_are_not_served(store, settings, tmp_path):
    made = publication(store, tmp_path)
    store.apply(Batch(user_deletions=[UserDeletion(user_id=USERS[4], time=99)]))
    assert published(made, store, settings).num_left == 1
    assert_serves(settings, made, np.array([user_id != USERS[4] for user_id in USERS]))


def test_a_published_generation_is_published_again_without_a_change(store, settings, tmp_path):
    made = publication(store, tmp_path)
    published(made, store, settings)
    before = (settings.generations_root / NEW / "manifest.json").read_bytes()
    assert published(made, store, settings).is_active
    assert (settings.generations_root / NEW / "manifest.json").read_bytes() == before
    assert_serves(settings, made)


@pytest.mark.slow
def test_killed_at_any_step_the_old_or_the_new_is_served_and_a_repeat_completes(
    store, tmp_path, monkeypatch
):
    monkeypatch.setattr(projection, "PAGE_USERS", 5)
    old, new = publication(store, tmp_path, OLD, seed=1), publication(store, tmp_path, seed=2)
    start, home = FeatureStoreSettings.at(tmp_path / "start"), tmp_path / "home"
    published(old, store, start)
    # Who leaves after the snapshot makes publishing reach its last step too.
    store.apply(Batch(user_deletions=[UserDeletion(user_id=USERS[4], time=99)]))
    stays = np.array([user_id != USERS[4] for user_id in USERS])
    active_after = []
    moment = 1
    while True:
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(start.home, home)
        settings = FeatureStoreSettings.at(home)
        if not killed_at(moment, partial(published, new, store, settings)):
            break
        active, rows = served(settings)
        expected = {OLD: old, NEW: new}[active]
        assert rows.present.tolist() == (stays | (active == OLD)).tolist()
        found = rows.features["graph"][stays]
        assert np.array_equal(found, expected.vectors.graph[stays])
        active_after.append(active)
        with opened(store, settings) as stores:  # as any later command does, if none resumes
            sweep(stores)
            assert USERS[4] not in chain.from_iterable(
                stores.online.user_ids(representation_name(NEW))
            )
            assert stores.registry.active_service() == active
        assert not list(settings.generations_root.glob(".staging-*"))
        assert published(new, store, settings).is_active
        assert_serves(settings, new, stays)
        assert FeatureRegistry(settings).active_service() == NEW
        Generations(settings).active().verify()
        assert not list(settings.generations_root.glob(".staging-*"))
        moment += 1
    assert_serves(settings, new, stays)
    assert len(active_after) > 30
    assert active_after == sorted(active_after)
    assert set(active_after) == {OLD, NEW}
