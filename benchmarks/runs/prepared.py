"""A network as training reads it: ingested, frozen, its captions and images prepared.

The real accounts are below MMGA_DATA_DIR, `../shared/data` beside the repository where it is not
set.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from graphdb import open_graph
from graphdb.snapshot.snapshot import Snapshot, take_snapshot
from training.evaluation.user_texts import UserTexts, read_user_texts
from training.inputs.captions import pin_texts
from training.inputs.post_inputs import PostInputs
from training.inputs.preparation import prepare_post_inputs
from training.mmga.config import RunConfig
from training.networks.tokenizer import train_tokenizer
from training.settings import TrainingSettings

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A frozen network, the words of its users, and its posts as a config wants them."""

    snapshot: Snapshot
    texts: UserTexts
    inputs: PostInputs


def congress() -> Path | None:
    """Events of the real accounts; None where they are not on this machine."""
    data = os.environ.get("MMGA_DATA_DIR", REPOSITORY.parent / "shared/data")
    events = Path(data) / "congress" / "events.jsonl"
    return events if events.is_file() else None


def prepare(home: Path, config: RunConfig, events: Path) -> Prepared:
    """Ingest these events, once a home, and prepare what the config reads of them."""
    ready = home / "ready"
    if not ready.exists():
        home.mkdir(parents=True, exist_ok=True)
        ingest(home, events)
        ready.touch()
    with closing(open_graph(f"sqlite:///{home / 'graph.db'}", read_only=True)) as store:
        snapshot = take_snapshot(store, home / "snapshots")
        texts = pin_texts(store, snapshot)
    inputs = prepare_post_inputs(
        texts,
        TrainingSettings(home=home),
        train_tokenizer(texts.captions, vocabulary_size=config.text.vocabulary_size),
        image_size=config.image.image_size,
        max_tokens=config.text.max_tokens,
    )
    return Prepared(snapshot=snapshot, texts=read_user_texts(snapshot, texts), inputs=inputs)


def ingest(home: Path, events: Path) -> None:
    """Events and labels into a home, as a person would."""
    mmga(home, ["ingest", "--events", str(events), "--no-statistics"])
    if (labels := events.with_name("labels.jsonl")).is_file():
        mmga(home, ["labels", "import", str(labels)])


def mmga(home: Path, arguments: Sequence[str]) -> None:
    """Run a command; its failure ends the benchmark."""
    subprocess.run(
        [sys.executable, "-m", "mmga", *arguments],
        env=os.environ | {"MMGA_HOME": str(home)},
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
    )
