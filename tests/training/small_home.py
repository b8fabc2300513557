"""A home with a small graph in a real store: what `mmga train` starts from."""

from pathlib import Path

import numpy as np
from PIL import Image

from graphdb import open_graph
from graphdb.facts import Batch, FollowColumns, LabelFact, PostFact, ProfileFact
from graphdb.store import GraphStore
from training.settings import TrainingSettings

TOPICS = ("sport", "music", "food")
WORDS = {
    "sport": "ball goal team race match score",
    "music": "song band guitar stage chord album",
    "food": "bread soup cheese dinner spice cake",
}
DAY = 86_400_000_000
START = 1_600_000_000_000_000


def small_home(
    folder: Path, *, num_users: int = 45, posts_per_user: int = 4, url: str | None = None
) -> TrainingSettings:
    """Users of three topics who write, picture and follow alike; follows are mostly mutual."""
    rng = np.random.default_rng(0)
    home, media = folder / "home", folder / "media"
    home.mkdir(parents=True)
    media.mkdir()
    topics = [TOPICS[number % 3] for number in range(num_users)]
    for topic, colour in zip(TOPICS, ((200, 30, 30), (30, 200, 30), (30, 30, 200)), strict=True):
        Image.new("RGB", (24, 24), colour).save(media / f"{topic}.png")
    store = open_graph(url) if url else open_store(home)
    store.apply(
        Batch(
            profiles=[profile(number) for number in range(num_users)],
            posts=[
                post(number, count, topics[number], rng)
                for number in range(num_users)
                for count in range(posts_per_user)
            ],
            follows=follows(topics, rng),
            labels=[label(number, topic) for number, topic in enumerate(topics)],
        )
    )
    store.close()
    return TrainingSettings(home=home, media_root=media, num_threads=1)


def open_store(home: Path) -> GraphStore:
    return open_graph(f"sqlite:///{home / 'graph.db'}")


def profile(number: int) -> ProfileFact:
    return ProfileFact(user_id=f"u{number}", username=f"name{number}", time=START, tie=number)


def post(number: int, count: int, topic: str, rng: np.random.Generator) -> PostFact:
    words = rng.choice(WORDS[topic].split(), 6)
    return PostFact(
        post_id=f"p{number}-{count}",
        user_id=f"u{number}",
        time=START + (number * 7 + count) * DAY,
        tie=0,
        caption=f"{' '.join(words)} {number * 10 + count}",
        image=f"{topic}.png" if count == 0 else None,
        like_count=int(rng.integers(0, 50)),
    )


def follows(topics: list[str], rng: np.random.Generator) -> FollowColumns:
    columns = FollowColumns()
    for u, v in np.ndindex(len(topics), len(topics)):
        if u != v and rng.random() < (0.7 if topics[u] == topics[v] else 0.05):
            columns.follower_ids.append(f"u{u}")
            columns.followee_ids.append(f"u{v}")
            columns.times.append(START)
            columns.ties.append(len(columns.ties))
            columns.live.append(True)
    return columns


def label(number: int, topic: str) -> LabelFact:
    return LabelFact(
        subject_kind="user",
        subject_id=f"u{number}",
        task="topic",
        annotator="human",
        labels=(topic,),
        time=START,
        tie=0,
    )
