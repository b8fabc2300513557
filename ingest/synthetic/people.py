"""The people of a made-up network: what they like, whom they know, whom they follow.

N users. Popularity has a heavy tail; people follow those of their topic and circle, those whom
their friends follow, and the popular; many follow back. So who follows whom can be learned.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CIRCLES_PER_TOPIC = 3
SAME_TOPIC, SAME_CIRCLE, SECOND_TOPIC = 6.0, 5.0, 2.5
FOLLOW_BACK = 0.45
CLOSED_TRIANGLES = 0.35


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """Properties of N users, and E directed follows (follower, followee), each pair once."""

    topic: NDArray[np.int64]
    second_topic: NDArray[np.int64]
    circle: NDArray[np.int64]
    popularity: NDArray[np.float64]
    activity: NDArray[np.float64]
    follows: list[tuple[int, int]]


def draw_people(num_users: int, num_topics: int, rng: np.random.Generator) -> People:
    """Draw users, then their follows."""
    topic_weights = rng.dirichlet(np.full(num_topics, 8.0))
    topic = rng.choice(num_topics, size=num_users, p=topic_weights)
    second_topic = rng.integers(num_topics, size=num_users)
    circle = topic * CIRCLES_PER_TOPIC + rng.integers(CIRCLES_PER_TOPIC, size=num_users)
    popularity = np.minimum(1.0 + rng.pareto(1.6, size=num_users), 60.0)
    activity = rng.lognormal(0.0, 0.6, size=num_users)
    affinity = _affinity(topic, second_topic, circle) * popularity
    np.fill_diagonal(affinity, 0.0)
    return People(
        topic=topic,
        second_topic=second_topic,
        circle=circle,
        popularity=popularity,
        activity=activity,
        follows=_draw_follows(affinity, activity, rng),
    )


def _affinity(
    topic: NDArray[np.int64], second_topic: NDArray[np.int64], circle: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(N, N): how much row is drawn to column, popularity aside."""
    affinity = np.ones((len(topic), len(topic)))
    affinity[second_topic[:, None] == topic[None, :]] *= SECOND_TOPIC
    affinity[topic[:, None] == topic[None, :]] *= SAME_TOPIC
    affinity[circle[:, None] == circle[None, :]] *= SAME_CIRCLE
    return affinity


def _draw_follows(
    affinity: NDArray[np.float64], activity: NDArray[np.float64], rng: np.random.Generator
) -> list[tuple[int, int]]:
    num_users = len(affinity)
    followees: list[dict[int, None]] = [{} for _ in range(num_users)]
    for user in rng.permutation(num_users).tolist():
        chances = affinity[user] / affinity[user].sum()
        wanted = min(int(3 + 9 * activity[user]), int((chances > 0).sum()), num_users // 3 + 1)
        for followee in rng.choice(num_users, size=wanted, replace=False, p=chances).tolist():
            followees[user][followee] = None
            if rng.random() < FOLLOW_BACK:
                followees[followee][user] = None
    for user in range(num_users):
        for friend in list(followees[user]):
            candidates = list(followees[friend])
            if candidates and rng.random() < CLOSED_TRIANGLES:
                candidate = candidates[int(rng.integers(len(candidates)))]
                if candidate != user:
                    followees[user][candidate] = None
    return [(user, followee) for user in range(num_users) for followee in followees[user]]
