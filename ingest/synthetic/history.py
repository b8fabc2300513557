"""What happens in a made-up network, as events in order of their times."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from ingest.synthetic.people import People
from ingest.synthetic.topics import COMMON_WORDS, FIRST_NAMES, LAST_NAMES, TOPICS, Topic

FIRST = datetime(2025, 3, 1, tzinfo=UTC)
NUM_DAYS = 300
PROFILED, RENAMED = 0.95, 0.10
UNFOLLOWED = 0.03
ILLUSTRATED, MENTIONING, ENGAGED = 0.7, 0.2, 0.3
POST_DELETED, POST_LABELED = 0.02, 0.10
USER_DELETED = 0.02
OFF_TOPIC = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """An image to draw: its path below the folder, its topic, and the word on it."""

    path: str
    topic: int
    word: str


@dataclass(slots=True, kw_only=True)
class History:
    """Events and the pictures that they name."""

    events: list[dict[str, Any]] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)

    def add(self, kind: str, day: float, subject: str, data: dict[str, Any]) -> None:
        """Append an event at a moment, counted in days from the first."""
        moment = FIRST + timedelta(seconds=round(day * 86_400))
        self.events.append(
            {
                "specversion": "1.0",
                "id": f"{kind}-{len(self.events)}",
                "source": "/synthetic",
                "type": kind,
                "time": moment.isoformat().replace("+00:00", "Z"),
                "subject": subject,
                "data": data,
            }
        )


def draw_history(people: People, posts_per_user: float, rng: np.random.Generator) -> History:
    """Profiles, follows, posts and what comes after them."""
    history = History()
    _draw_follows(history, people, rng)
    _draw_profiles(history, people, rng)
    _draw_posts(history, people, posts_per_user, rng)
    _draw_departures(history, people, rng)
    history.events.sort(key=lambda event: event["time"])
    return history


def user_id(user: int) -> str:
    """The id of a user by number."""
    return f"user{user:04d}"


def _draw_follows(history: History, people: People, rng: np.random.Generator) -> None:
    for follower, followee in people.follows:
        data = {"follower_id": user_id(follower), "followee_id": user_id(followee)}
        day = float(rng.uniform(0, NUM_DAYS))
        history.add("follow.created", day, user_id(follower), data)
        if rng.random() < UNFOLLOWED:
            history.add("follow.deleted", day + float(rng.exponential(20)), user_id(follower), data)


def _draw_profiles(history: History, people: People, rng: np.random.Generator) -> None:
    for user, topic in enumerate(people.topic.tolist()):
        if rng.random() < PROFILED:
            day = float(rng.uniform(0, NUM_DAYS / 2))
            profile = _profile(people, user, TOPICS[topic], rng)
            history.add("user.updated", day, user_id(user), profile)
            if rng.random() < RENAMED:
                changed = {**profile, "biography": f"{profile['biography']} {_words(rng, 2)}"}
                history.add("user.updated", day + 60, user_id(user), changed)


def _profile(people: People, user: int, topic: Topic, rng: np.random.Generator) -> dict[str, Any]:
    first, last = str(rng.choice(FIRST_NAMES)), str(rng.choice(LAST_NAMES))
    since = FIRST - timedelta(days=int(rng.integers(30, 3000)))
    words = " ".join(rng.choice(topic.words, size=3).tolist())
    return {
        "user_id": user_id(user),
        "username": f"{first}.{last}{user}".lower(),
        "full_name": f"{first} {last}",
        "biography": f"{words}, {_words(rng, 4)}",
        "follower_count": int(40 * people.popularity[user] * rng.lognormal(0, 0.3)),
        "following_count": int(60 * people.activity[user] * rng.lognormal(0, 0.3)),
        "post_count": int(80 * people.activity[user] * rng.lognormal(0, 0.5)),
        "is_verified": bool(people.popularity[user] > 8),
        "created_at": since.isoformat().replace("+00:00", "Z"),
    }


def _draw_posts(
    history: History, people: People, posts_per_user: float, rng: np.random.Generator
) -> None:
    friends: dict[int, list[int]] = {}
    for follower, followee in people.follows:
        friends.setdefault(follower, []).append(followee)
    scale = posts_per_user / float(people.activity.mean())
    number = 0
    for user in range(len(people.topic)):
        for _ in range(int(rng.poisson(scale * people.activity[user]))):
            _draw_post(history, people, user, friends.get(user, []), number, rng)
            number += 1


def _draw_post(
    history: History,
    people: People,
    user: int,
    friends: list[int],
    number: int,
    rng: np.random.Generator,
) -> None:
    post_id = f"post{number:05d}"
    topic_number = int(
        people.second_topic[user] if rng.random() < OFF_TOPIC else people.topic[user]
    )
    topic = TOPICS[topic_number]
    day = float(rng.uniform(0, NUM_DAYS))
    likes = int(people.popularity[user] * rng.lognormal(1.5, 0.7))
    hashtags = sorted(set(rng.choice(topic.words, size=int(rng.integers(0, 4))).tolist()))
    comments = int(likes * rng.uniform(0, 0.3))
    image = None
    if rng.random() < ILLUSTRATED:
        image = f"images/{post_id}.jpg"
        word = str(rng.choice(topic.words))
        history.pictures.append(Picture(path=image, topic=topic_number, word=word))
    data = {
        "post_id": post_id,
        "user_id": user_id(user),
        "caption": _caption(topic, hashtags, rng),
        "image": image,
        "hashtags": hashtags,
        "mentions": _mentions(friends, rng),
        "like_count": likes,
        "comment_count": comments,
    }
    history.add("post.created", day, user_id(user), data)
    if rng.random() < ENGAGED:
        counts = {"like_count": likes * 2 + 1, "comment_count": comments + 1}
        later = day + float(rng.exponential(5))
        history.add("post.engagement", later, post_id, {"post_id": post_id, **counts})
    if rng.random() < POST_LABELED:
        label = {"post_id": post_id, "task": "topic", "labels": [topic.name]}
        history.add("post.labeled", day + 1, post_id, label)
    if rng.random() < POST_DELETED:
        history.add("post.deleted", day + 2, post_id, {"post_id": post_id})


def _mentions(friends: list[int], rng: np.random.Generator) -> list[str]:
    if not friends or rng.random() >= MENTIONING:
        return []
    return [user_id(int(rng.choice(friends)))]


def _caption(topic: Topic, hashtags: list[str], rng: np.random.Generator) -> str:
    size = int(rng.integers(5, 13))
    on_topic = rng.random(size) < 0.5
    words = [str(rng.choice(topic.words if on else COMMON_WORDS)) for on in on_topic.tolist()]
    return " ".join([*words, *(f"#{hashtag}" for hashtag in hashtags)])


def _draw_departures(history: History, people: People, rng: np.random.Generator) -> None:
    """Some leave; every other of them comes back, empty, and follows the most popular."""
    leaving = np.flatnonzero(rng.random(len(people.topic)) < USER_DELETED).tolist()
    star = int(np.argmax(people.popularity))
    for number, user in enumerate(leaving):
        day = float(rng.uniform(NUM_DAYS / 2, NUM_DAYS))
        history.add("user.deleted", day, user_id(user), {"user_id": user_id(user)})
        if number % 2 == 0 and user != star:
            back = {"follower_id": user_id(user), "followee_id": user_id(star)}
            history.add("follow.created", day + 10, user_id(user), back)


def _words(rng: np.random.Generator, number: int) -> str:
    return " ".join(rng.choice(COMMON_WORDS, size=number).tolist())
