"""Events that arrive while a run goes change nothing in it, also where it is interrupted."""

import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from featurestore.settings import FeatureStoreSettings
from graphdb.facts import Batch, PostDeletion
from tests.graphdb.made_facts import post, profile
from tests.training.small_home import DAY, START, TOPICS, open_store, small_home
from tests.training.small_network import small_config
from training.engine.progress import ConsoleReporter
from training.engine.ray_cluster import ray_session
from training.runs.report import RunReport, train_and_publish
from training.runs.run import RunRequest
from training.settings import TrainingSettings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

NUM_USERS, POSTS_PER_USER = 45, 4
SEED_FILES = ("model", "initial", "trained", "published")
LATER = START + 10_000 * DAY

Hear = Callable[[str], None]


class ListeningReporter(ConsoleReporter):
    """Tells a listener of each line, and of each step that is complete."""

    def __init__(self, hear: Hear) -> None:
        super().__init__()
        self.hear = hear

    def say(self, message: str) -> None:
        super().say(message)
        self.hear(message)

    def counting(self, what: str, done: int, total: int, note: str = "") -> None:
        super().counting(what, done, total, note)
        if done >= total:
            self.hear(f"{what} complete")


def made_home(folder: Path) -> TrainingSettings:
    """Users whose biographies tell their topics."""
    settings = small_home(folder, num_users=NUM_USERS, posts_per_user=POSTS_PER_USER)
    topics = [f"I like {TOPICS[number % 3]}" for number in range(NUM_USERS)]
    with closing(open_store(settings.home)) as store:
        profiles = [
            profile(f"u{number}", START + 1, biography=topic) for number, topic in enumerate(topics)
        ]
        store.apply(Batch(profiles=profiles))
    return settings


def rewrite(settings: TrainingSettings, number: int) -> None:
    """Edit every caption, image and biography, and delete a tenth of the posts."""
    posts = [(f"p{user}-{count}", f"u{user}") for user, count in np.ndindex(NUM_USERS, 4)]
    time = LATER + 2 * number
    batch = Batch(
        profiles=[
            profile(f"u{user}", time, biography=f"nothing {number}") for user in range(NUM_USERS)
        ],
        posts=[
            post(
                post_id, user_id, time, caption=f"zebra {number}", image=f"{TOPICS[number % 3]}.png"
            )
            for post_id, user_id in posts
        ],
        post_deletions=[
            PostDeletion(post_id=post_id, time=time + 1) for post_id, _ in posts[number % 10 :: 10]
        ],
    )
    with closing(open_store(settings.home)) as store:
        store.apply(batch)


def train(settings: TrainingSettings, hear: Hear) -> RunReport:
    small = small_config(edges="follows")
    config = replace(small, text=replace(small.text, vocabulary_size=300))
    request = RunRequest(config=config, seeds=(0,), workers=1)
    features = FeatureStoreSettings.at(settings.home)
    with closing(open_store(settings.home)) as store, ListeningReporter(hear) as reporter:
        return train_and_publish(settings, features, store, request, reporter)


def outcome(report: RunReport) -> dict[str, Any]:
    """The bytes of all that a run leaves and that depends on texts."""
    trained = report.trained
    folder = trained.run.seed_folder(0)
    inputs = trained.inputs
    arrays = ("tokens", "token_counts", "caption_hashes", "pixel_rows", "pixels", "image_hashes")
    assert report.published is not None
    return {
        "run": trained.run.run_id,
        "evaluation": (trained.run.path / "evaluation.json").read_bytes(),
        "tokenizer": trained.run.tokenizer.read_bytes(),
        "index": {
            path.name: path.read_bytes()
            for path in report.published.path.rglob("*")
            if path.is_file() and path.name not in ("manifest.json", "losses.jsonl")
        },
        **{name: (folder / f"{name}.safetensors").read_bytes() for name in SEED_FILES},
        **{name: getattr(inputs, name).tobytes() for name in arrays},
    }


def test_events_and_interruptions_during_a_run_leave_no_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A run's name salts the choice of neighbours that vectors are computed over.
    clock = SimpleNamespace(now=lambda zone: datetime(2026, 1, 1, tzinfo=UTC))
    monkeypatch.setattr("training.runs.run_folder.datetime", clock)
    monkeypatch.setattr("training.runs.run_folder.secrets.token_hex", lambda size: "0" * 2 * size)
    settings = made_home(tmp_path)
    there = replace(settings, home=tmp_path / "disturbed")
    shutil.copytree(settings.home, there.home)
    heard: list[str] = []
    interruptions = ["learning the vocabulary", "post inputs", "evaluation: seed"]

    def disturb(message: str) -> None:
        if not heard and message != "texts complete":
            return
        heard.append(message)
        rewrite(there, len(heard))
        if interruptions and message.startswith(interruptions[0]):
            del interruptions[0]
            raise KeyboardInterrupt

    with ray_session(1):
        undisturbed = train(settings, lambda message: None)
        for _ in range(3):
            with pytest.raises(KeyboardInterrupt):
                train(there, disturb)
        disturbed = train(there, disturb)
    assert len(heard) > 10
    assert outcome(disturbed) == outcome(undisturbed)
