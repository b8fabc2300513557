"""Generations: whole or absent, immutable, checksummed; and the index inside them."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from featurestore.definitions import checked
from featurestore.errors import (
    ArtifactCorrupt,
    FeatureInvalid,
    FormatRefused,
    GenerationExists,
    GenerationMissing,
)
from featurestore.generations.base_index import INDEX_FILE, USERS_FILE, BaseIndex
from featurestore.generations.generation import Generations, new_generation_id
from featurestore.generations.indexes import BaseIndexes
from featurestore.generations.verdicts import Verdict
from featurestore.online.open import open_online_store
from featurestore.settings import FeatureStoreSettings
from foundation.errors import SettingInvalid
from foundation.watermark import Watermark
from tests.featurestore.activation import make_active


def manifest(created_at: str = "2026-11-21T12:00:00+00:00") -> dict[str, Any]:
    return {
        "created_at": created_at,
        "graph_id": "abc",
        "graph_version": 12,
        "commit_time": 10**15,
        "dims": {"graph": 2, "image": 3, "text": 4},
        "scales": {"graph": 1.0, "image": 0.5, "text": 0.25},
        "num_users": 3,
    }


def seal(generations: Generations, generation_id: str, **changes: Any) -> None:
    folder = generations.begin(generation_id)
    (folder / "heads").mkdir()
    (folder / "heads" / "topic.safetensors").write_bytes(b"tensor")
    generations.seal(generation_id, manifest(**changes))


def test_a_sealed_generation_is_found_and_verified(settings: FeatureStoreSettings) -> None:
    generations = Generations(settings)
    assert generations.list() == []
    seal(generations, "g2", created_at="2026-11-21T12:00:01+00:00")
    seal(generations, "g1")
    assert [each.id for each in generations.list()] == ["g1", "g2"]
    generation = generations.get("g1")
    generation.verify()
    assert generation.dims == {"graph": 2, "image": 3, "text": 4}
    assert generation.scales["text"] == 0.25
    assert generation.manifest["id"] == "g1"
    assert list(generation.manifest["checksums"]) == ["heads/topic.safetensors"]


def test_what_was_sealed_cannot_be_begun_or_sealed_again(settings: FeatureStoreSettings) -> None:
    generations = Generations(settings)
    seal(generations, "g1")
    with pytest.raises(GenerationExists):
        generations.begin("g1")
    with pytest.raises(GenerationMissing, match="was not begun"):
        generations.seal("g1", manifest())


@pytest.mark.parametrize("name", ["g" * 300, "../g1", "", "g\0", ".staging-g1", "a/b"])
def test_what_cannot_be_an_id_is_no_generation(settings: FeatureStoreSettings, name: str) -> None:
    with pytest.raises(GenerationMissing, match="names no generation"):
        Generations(settings).get(name)


def test_a_crash_while_staging_leaves_no_generation(settings: FeatureStoreSettings) -> None:
    generations = Generations(settings)
    (generations.begin("g1") / "half").touch()
    assert generations.list() == []
    with pytest.raises(GenerationMissing, match="no generation g1"):
        generations.get("g1")
    assert list(generations.begin("g1").iterdir()) == []


def test_a_file_that_changed_is_noticed(settings: FeatureStoreSettings) -> None:
    generations = Generations(settings)
    seal(generations, "g1")
    generation = generations.get("g1")
    (generation.path / "heads" / "topic.safetensors").write_bytes(b"tensoR")
    with pytest.raises(ArtifactCorrupt, match="topic"):
        generation.verify()
    (generation.path / "manifest.json").write_text("{")
    with pytest.raises(ArtifactCorrupt, match="cannot be read"):
        generations.get("g1")


def test_the_pointer_in_the_online_store_says_which_is_active(
    settings: FeatureStoreSettings,
) -> None:
    generations = Generations(settings)
    assert generations.active() is None
    seal(generations, "g1")
    seal(generations, "g2")
    store = open_online_store(settings)
    assert generations.active() is None
    make_active(store, "g2")
    active = generations.active()
    assert active is not None
    assert active.id == "g2"
    store.close()


def test_a_dropped_generation_is_gone_at_once_and_known_until_it_is_deleted(
    settings: FeatureStoreSettings,
) -> None:
    generations = Generations(settings)
    seal(generations, "g1")
    generations.verdicts("g1").append(Verdict(kind="promotion", ok=True))
    generations.begin_drop("g1")
    assert (generations.list(), generations.dropped()) == ([], ("g1",))
    with pytest.raises(GenerationMissing):
        generations.begin_drop("g1")
    generations.end_drop("g1")
    assert generations.dropped() == ()
    assert list(generations.root.iterdir()) == []


def test_verdicts_are_kept_in_their_order(settings: FeatureStoreSettings) -> None:
    log = Generations(settings).verdicts("g1")
    assert (log.read(), log.last(), log.promotion()) == ([], None, None)
    refused = Verdict(
        kind="promotion", ok=False, reasons=("sound: é\u2028",), figures={"sound": {"x": 1}}
    )
    forced = Verdict(kind="forced", ok=True, reasons=("demo",))
    log.append(refused)
    log.append(forced)
    assert log.read() == [refused, forced]
    assert (log.last(), log.promotion()) == (forced, refused)
    assert [each.outcome for each in log.read()] == ["refused", "forced"]


def test_the_newest_index_replaces_the_others(settings: FeatureStoreSettings) -> None:
    indexes = BaseIndexes(settings)
    assert indexes.newest("g1") is None
    with pytest.raises(GenerationMissing, match="mmga generations activate g1"):
        indexes.load("g1")
    for version in (7, 9):
        mark = Watermark(graph_id="g", version=version, commit_time=version)
        indexes.put("g1", make_index(version).save, mark)
        assert indexes.watermark("g1") == mark
    folder, index = indexes.load("g1")
    assert len(index.user_ids) == 9
    assert list(folder.parent.iterdir()) == [folder]
    about = folder / "index.json"
    about.write_text(about.read_text().replace('"format_version": 1', '"format_version": 2'))
    with pytest.raises(FormatRefused, match="install the newer version"):
        indexes.load("g1")
    about.write_text("{")
    assert indexes.watermark("g1") is None
    with pytest.raises(ArtifactCorrupt, match="activate its generation again"):
        indexes.load("g1")
    indexes.put("g1", make_index(3).save, mark)
    assert len(indexes.load("g1")[1].user_ids) == 3
    assert index.top_k(np.ones(16, np.float32), 1)  # whoever has mapped it keeps it
    indexes.drop("g1")
    assert list(indexes.root.iterdir()) == []


def test_bad_ids_manifests_and_places_are_one_line(settings: FeatureStoreSettings) -> None:
    generations = Generations(settings)
    with pytest.raises(FeatureInvalid, match="cannot name"):
        generations.begin("../g1")
    generations.begin("g1")
    with pytest.raises(FeatureInvalid, match="lacks created_at, graph_id"):
        generations.seal("g1", {})
    with pytest.raises(SettingInvalid, match="give a folder"):
        Generations(FeatureStoreSettings.at(settings.home, artifacts_url="s3://bucket/x"))


def test_new_ids_sort_by_time_and_can_name_a_view() -> None:
    first = new_generation_id(datetime(2026, 11, 21, 9, 59, 59, tzinfo=UTC))
    second = new_generation_id(datetime(2026, 11, 21, 10, 0, 0, tzinfo=UTC))
    assert first < second
    assert checked(first) == first


def make_index(num_users: int, width: int = 16) -> BaseIndex:
    vectors = np.random.default_rng(1).normal(size=(num_users, width)).astype(np.float32)
    return BaseIndex.of([f"user{row}" for row in range(num_users)], vectors)


def test_the_index_comes_back_mapped(settings: FeatureStoreSettings) -> None:
    folder = Generations(settings).begin("g1")
    index = make_index(100)
    index.save(folder)
    again = BaseIndex.load(folder)
    assert isinstance(again.representations, np.memmap)
    np.testing.assert_array_equal(again.representations, index.representations)
    assert again.user_ids == index.user_ids
    query = index.representation_of("user7")
    assert query is not None
    assert again.top_k(query, 5) == index.top_k(query, 5)
    assert again.representation_of("nobody") is None


@pytest.mark.parametrize("k", [0, 1, 5, 99, 100, 500])
def test_the_most_similar_are_those_of_a_full_sort(k: int) -> None:
    index = make_index(100)
    query = np.random.default_rng(2).normal(size=16).astype(np.float32)
    unit = index.representations / np.linalg.norm(index.representations, axis=1, keepdims=True)
    cosines = unit @ query / np.linalg.norm(query)
    expected = [f"user{row}" for row in np.argsort(-cosines, kind="stable")[:k]]
    found = index.top_k(query, k)
    assert [user for user, _ in found] == expected
    np.testing.assert_allclose([each for _, each in found], np.sort(cosines)[::-1][:k], atol=1e-6)
    assert expected[:1] != [user for user, _ in index.top_k(query, k, exclude=expected[:1])][
        :1
    ] or (k == 0)


def test_zero_vectors_and_ties_have_an_order() -> None:
    vectors = np.array([[0, 0], [1, 0], [2, 0], [0, 1]], np.float32)
    index = BaseIndex.of(["zero", "one", "two", "up"], vectors)
    assert index.top_k(np.array([3, 0], np.float32), 3) == [("one", 1.0), ("two", 1.0), ("zero", 0)]
    assert [each for _, each in index.top_k(np.zeros(2, np.float32), 4)] == [0.0] * 4
    with pytest.raises(FeatureInvalid, match="width"):
        index.top_k(np.zeros(3, np.float32), 1)
    with pytest.raises(FeatureInvalid, match="2 users"):
        BaseIndex.of(["a", "b"], vectors)


@pytest.mark.parametrize("damage", ["short", "garbage", "missing", "users"])
def test_a_damaged_index_is_one_line(settings: FeatureStoreSettings, damage: str) -> None:
    folder = Generations(settings).begin("g1")
    make_index(10).save(folder)
    path = folder / INDEX_FILE
    if damage == "short":
        path.write_bytes(path.read_bytes()[:-8])
    elif damage == "garbage":
        path.write_bytes(b"\xff" * 5)
    elif damage == "missing":
        path.unlink()
    else:
        (folder / USERS_FILE).write_text('["a"]')
    with pytest.raises(ArtifactCorrupt, match=r"base_index\.safetensors"):
        BaseIndex.load(folder)
