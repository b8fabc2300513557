"""What a run needs later is checked before its first step, with one line each."""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

import training.runs.preconditions as preconditions
from featurestore.errors import RegistryUnavailable, StoreUnreachable
from featurestore.settings import FeatureStoreSettings
from graphdb.facts import Batch, FollowColumns
from graphdb.snapshot.snapshot import Snapshot
from tests.training.small_home import open_store, post, profile, small_home
from tests.training.small_network import small_config
from training.engine.progress import ConsoleReporter
from training.errors import ConfigInvalid, NothingToTrain, Unwritable, WeightsUnusable
from training.runs.preconditions import check_config, check_machine, check_publishing, writing
from training.runs.run import RunRequest, start_or_resume
from training.settings import TrainingSettings


def start(settings: TrainingSettings) -> Snapshot:
    request = RunRequest(config=small_config(edges="follows"), seeds=(0,), workers=1)
    with closing(open_store(settings.home)) as store, ConsoleReporter() as reporter:
        return start_or_resume(settings, store, request, reporter)[1]


def home_with(folder: Path, batch: Batch) -> TrainingSettings:
    folder.mkdir(exist_ok=True)
    with closing(open_store(folder)) as store:
        store.apply(batch)
    return TrainingSettings(home=folder, num_threads=1)


def ring(num_users: int) -> FollowColumns:
    return FollowColumns(
        follower_ids=[f"u{number}" for number in range(num_users)],
        followee_ids=[f"u{(number + 1) % num_users}" for number in range(num_users)],
        times=[1] * num_users,
        ties=list(range(num_users)),
        live=[True] * num_users,
    )


def without_caption(number: int) -> Any:
    return msgspec.structs.replace(post(number, 0, "food", FIXED), caption=" ")


class Fixed:
    """Words and counts that need no generator."""

    def choice(self, words: list[str], num: int) -> list[str]:
        return words[:1] * num

    def integers(self, low: int, high: int) -> int:
        return low


FIXED: Any = Fixed()


def test_a_graph_without_captions_begins_no_run(tmp_path: Path) -> None:
    people = [profile(number) for number in range(30)]
    posts = [without_caption(number) for number in range(30)]
    settings = home_with(tmp_path, Batch(profiles=people, posts=posts, follows=ring(30)))
    with pytest.raises(NothingToTrain, match="no post has a caption; ingest posts first"):
        start(settings)
    assert not settings.runs.exists()


def test_a_graph_without_follows_begins_no_run(tmp_path: Path) -> None:
    batch = Batch(profiles=[profile(0)], posts=[post(0, 0, "food", FIXED)])
    settings = home_with(tmp_path, batch)
    with pytest.raises(NothingToTrain, match="no follows are left to train on"):
        start(settings)
    assert not settings.runs.exists()


def test_that_a_run_will_not_be_evaluated_is_said_when_it_begins(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    people = [profile(number) for number in range(40)]
    posts = [post(number, 0, "food", FIXED) for number in range(40)]
    start(home_with(tmp_path, Batch(profiles=people, posts=posts, follows=ring(40))))
    said = " ".join(capfd.readouterr().err.split())
    assert "held-out follows are too few to evaluate on (at least 20)" in said


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    settings = small_home(tmp_path)
    (settings.home / "checkpoints").write_text("a file where a folder should be")
    with pytest.raises(Unwritable, match=r"checkpoints is a file where a run needs a folder"):
        check_machine(settings, 1)
    with pytest.raises(Unwritable, match=r"cannot be written .*set MMGA_HOME to a folder that"):
        check_machine(TrainingSettings(home=Path("/proc/1/home")), 1)


def test_a_folder_of_images_that_is_not_there_is_named(tmp_path: Path) -> None:
    settings = replace(small_home(tmp_path), media_root=tmp_path / "nowhere")
    with pytest.raises(ConfigInvalid, match=r"MMGA_MEDIA_ROOT=.*nowhere is not a folder that can"):
        check_machine(settings, 1)


def test_a_disk_without_space_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = small_home(tmp_path)
    monkeypatch.setattr(preconditions, "MIN_FREE_BYTES", 2**60)
    with pytest.raises(Unwritable, match=r"home has \d+ MB free, a run needs at least"):
        check_machine(settings, 1)


def test_a_disk_that_becomes_full_is_one_line(tmp_path: Path) -> None:
    with (
        pytest.raises(Unwritable, match=r"cannot be written \(No space .*\): free space"),
        writing(tmp_path),
    ):
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "file"))


def feature_settings(home: Path, **urls: str) -> FeatureStoreSettings:
    return FeatureStoreSettings.at(home, **urls)


def test_a_home_in_which_a_generation_can_be_published_passes(tmp_path: Path) -> None:
    check_publishing(feature_settings(tmp_path))


def test_an_online_store_that_does_not_answer_is_named(tmp_path: Path) -> None:
    settings = feature_settings(tmp_path, online_store_url="redis://127.0.0.1:1/0")
    with pytest.raises(StoreUnreachable, match=r"127\.0\.0\.1:1"):
        check_publishing(settings)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield


def test_a_registry_that_another_program_has_locked_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("featurestore.feast_adapter.registry.SQLITE_TIMEOUT_SECONDS", 0.1)
    with locked(tmp_path / "registry.db"), pytest.raises(RegistryUnavailable, match="is locked"):
        check_publishing(feature_settings(tmp_path))


def test_a_checkpoint_without_weights_is_refused_before_a_run_begins(tmp_path: Path) -> None:
    from transformers import ViTConfig

    image = small_config().image
    sizes = ViTConfig(
        image_size=image.image_size,
        patch_size=image.patch_size,
        hidden_size=image.width,
        num_hidden_layers=image.num_layers,
        num_attention_heads=image.num_heads,
        intermediate_size=image.feedforward_width,
    )
    sizes.save_pretrained(tmp_path)  # the description alone
    config = replace(small_config(), image=replace(image, pretrained=str(tmp_path)))
    with pytest.raises(WeightsUnusable, match="cannot read pretrained weights"):
        check_config(config)
