"""A whole network as files: events.jsonl, labels.jsonl and images."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ingest.synthetic.bad_events import bad_lines
from ingest.synthetic.history import draw_history
from ingest.synthetic.people import draw_people
from ingest.synthetic.pictures import draw_picture
from ingest.synthetic.topics import TOPICS

DUPLICATED = 0.03
DISPLACED = 0.10
LABELED = 0.85


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticNetwork:
    """Where the files lie and what was written; duplicates and bad events are in `num_events`."""

    folder: Path
    events: Path
    labels: Path
    num_users: int
    num_events: int
    num_images: int
    num_labels: int
    num_duplicates: int
    num_bad_events: int


def write_synthetic_network(
    folder: Path,
    *,
    num_users: int = 300,
    num_topics: int = 6,
    posts_per_user: float = 8.0,
    seed: int = 0,
) -> SyntheticNetwork:
    """Write a network of communities, the same for the same arguments.

    The stream has all kinds of events, some twice, some late, and one bad event of each kind.
    Raises ValueError when there are more topics than six or fewer users than two.
    """
    if not 1 <= num_topics <= len(TOPICS) or num_users < 2:
        raise ValueError(f"num_topics must be 1 to {len(TOPICS)} and num_users at least 2")
    rng = np.random.default_rng(seed)
    people = draw_people(num_users, num_topics, rng)
    history = draw_history(people, posts_per_user, rng)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for picture in history.pictures:
        draw_picture(folder / picture.path, TOPICS[picture.topic], picture.word, rng)
    lines = [json.dumps(event).encode() for event in history.events]
    repeated = [lines[row] for row in np.flatnonzero(rng.random(len(lines)) < DUPLICATED)]
    bad = bad_lines()
    stream = _shuffled_in([*lines], [*repeated, *bad], rng)
    events = folder / "events.jsonl"
    events.write_bytes(b"".join(line + b"\n" for line in stream))
    labels = [
        json.dumps({"user_id": f"user{user:04d}", "topic": TOPICS[topic].name})
        for user, topic in enumerate(people.topic.tolist())
        if rng.random() < LABELED
    ]
    labels_path = folder / "labels.jsonl"
    labels_path.write_text("".join(f"{line}\n" for line in labels), encoding="utf-8")
    return SyntheticNetwork(
        folder=folder,
        events=events,
        labels=labels_path,
        num_users=num_users,
        num_events=len(stream),
        num_images=len(history.pictures),
        num_labels=len(labels),
        num_duplicates=len(repeated),
        num_bad_events=len(bad),
    )


def _shuffled_in(lines: list[bytes], extra: list[bytes], rng: np.random.Generator) -> list[bytes]:
    """Put extra lines anywhere, and move some of the others from their positions."""
    positions = np.arange(len(lines), dtype=np.float64)
    displaced = rng.random(len(lines)) < DISPLACED
    positions[displaced] += rng.normal(0.0, len(lines) / 20, size=int(displaced.sum()))
    anywhere = rng.uniform(0.0, len(lines), size=len(extra))
    order = np.argsort(np.concatenate([positions, anywhere]), kind="stable")
    everything = [*lines, *extra]
    return [everything[row] for row in order.tolist()]
