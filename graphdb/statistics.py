"""X, the statistics of a user: likes received and posting behaviour, from profile and posts alone.

Nothing here comes from follows or mentions (the profile's own `follower_count` and
`following_count` included), so no part of X can leak a held-out edge. Nothing reads a clock: ages
are relative to the newest thing that is known of the user. Every value is finite and at least 0,
so that log1p applies to all; counts above 2**40 count as 2**40. What is not known is 0:
`has_profile`, `num_posts` and `likes_known_share` say where a zero was seen, and no account that is
known has an age of 0.

Shapes: N users, P posts of those users.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foundation.web_address import holds_web_address
from graphdb.store import Post, Profile

STATISTICS: tuple[str, ...] = (
    "has_profile",  # 1 when the user's own profile is known
    "is_verified",  # 1 when the profile says so
    "account_age_days",  # from the profile's created_at to the newest post or the profile's time
    "stated_posts",  # the profile's own post_count
    "num_posts",  # live posts in the graph
    "posts_per_week",  # over the time from oldest to newest post, at least one week
    "median_gap_hours",  # between consecutive posts
    "image_share",  # of posts
    "link_share",  # of posts whose caption holds a web address
    "caption_length",  # mean, in characters
    "hashtags_per_post",
    "likes_known_share",  # of posts
    "mean_likes",  # of posts whose likes are known, as the two below
    "median_likes",
    "max_likes",
    "mean_comments",  # of posts whose comments are known
)

_MICROSECONDS_PER_HOUR = 3_600_000_000
_MICROSECONDS_PER_DAY = 24 * _MICROSECONDS_PER_HOUR
_MICROSECONDS_PER_WEEK = 7 * _MICROSECONDS_PER_DAY

# A sum over 2**23 posts stays within int64; integer sums do not depend on their order, so a row
# is the same to the last bit whatever batch it is computed in.
_MAX_COUNT = 2**40

_UNKNOWN = -1


def user_statistics(profiles: Sequence[Profile], posts: Sequence[Post]) -> NDArray[np.float32]:
    """X (N, 16) of the users in the order given, columns as in `STATISTICS`.

    Row i depends on profile i and on the posts of that user alone, in any order; posts of other
    users are ignored. Bitwise the same whatever users are computed together.
    """
    slots: dict[str, int] = {}
    slot_of_row = [slots.setdefault(profile.user_id, len(slots)) for profile in profiles]
    columns = _post_columns(slots, posts)
    by_slot = _of_posts(columns, len(slots))
    rows = np.array(slot_of_row, dtype=np.int64)
    return _assemble(profiles, {name: values[rows] for name, values in by_slot.items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class _PostColumns:
    """Posts (P,) as columns; `slot` is the user's number; counts that are not known are -1."""

    slot: NDArray[np.int64]
    time: NDArray[np.int64]
    image: NDArray[np.int64]
    link: NDArray[np.int64]
    caption_length: NDArray[np.int64]
    hashtags: NDArray[np.int64]
    likes: NDArray[np.int64]
    comments: NDArray[np.int64]


def _post_columns(slots: dict[str, int], posts: Sequence[Post]) -> _PostColumns:
    own = [post for post in posts if post.user_id in slots]
    return _PostColumns(
        slot=_column([slots[post.user_id] for post in own]),
        time=_column([post.time for post in own]),
        image=_column([post.image is not None for post in own]),
        link=_column([holds_web_address(post.caption) for post in own]),
        caption_length=_column([len(post.caption) for post in own]),
        hashtags=_column([len(post.hashtags) for post in own]),
        likes=_column([_count(post.like_count) for post in own]),
        comments=_column([_count(post.comment_count) for post in own]),
    )


def _column(values: Sequence[int]) -> NDArray[np.int64]:
    return np.array(values, dtype=np.int64)


def _count(count: int | None) -> int:
    return _UNKNOWN if count is None else min(count, _MAX_COUNT)


def _of_posts(posts: _PostColumns, num_users: int) -> dict[str, NDArray[np.float64]]:
    """The statistics (N,) that come from posts, and the time of the newest one (0: none)."""

    def total(values: NDArray[np.int64]) -> NDArray[np.float64]:
        return _totals(posts.slot, values, num_users).astype(np.float64)

    num_posts = total(np.ones_like(posts.slot))
    oldest, newest = _extremes(posts.slot, posts.time, num_users)
    likes_known, comments_known = posts.likes >= 0, posts.comments >= 0
    likes_slot, likes = posts.slot[likes_known], posts.likes[likes_known]
    comments_slot, comments = posts.slot[comments_known], posts.comments[comments_known]
    num_likes_known = _totals(likes_slot, np.ones_like(likes), num_users)
    num_comments_known = _totals(comments_slot, np.ones_like(comments), num_users)
    weeks = np.maximum((newest - oldest) / _MICROSECONDS_PER_WEEK, 1.0)
    return {
        "newest": newest.astype(np.float64),
        "num_posts": num_posts,
        "posts_per_week": num_posts / weeks,
        "median_gap_hours": _median_gaps(posts, num_users) / _MICROSECONDS_PER_HOUR,
        "image_share": _ratio(total(posts.image), num_posts),
        "link_share": _ratio(total(posts.link), num_posts),
        "caption_length": _ratio(total(posts.caption_length), num_posts),
        "hashtags_per_post": _ratio(total(posts.hashtags), num_posts),
        "likes_known_share": _ratio(num_likes_known, num_posts),
        "mean_likes": _ratio(_totals(likes_slot, likes, num_users), num_likes_known),
        "median_likes": _medians(likes_slot, likes, num_users),
        "max_likes": _extremes(likes_slot, likes, num_users)[1].astype(np.float64),
        "mean_comments": _ratio(_totals(comments_slot, comments, num_users), num_comments_known),
    }


def _totals(
    slots: NDArray[np.int64], values: NDArray[np.int64], num_users: int
) -> NDArray[np.int64]:
    totals = np.zeros(num_users, dtype=np.int64)
    np.add.at(totals, slots, values)
    return totals


def _extremes(
    slots: NDArray[np.int64], values: NDArray[np.int64], num_users: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Least and greatest value of each user; 0 and 0 where there is none."""
    lowest = np.full(num_users, np.iinfo(np.int64).max)
    highest = np.full(num_users, np.iinfo(np.int64).min)
    np.minimum.at(lowest, slots, values)
    np.maximum.at(highest, slots, values)
    none = highest < lowest
    return np.where(none, 0, lowest), np.where(none, 0, highest)


def _ratio(
    numerator: NDArray[np.integer] | NDArray[np.float64],
    denominator: NDArray[np.integer] | NDArray[np.float64],
) -> NDArray[np.float64]:
    return np.asarray(numerator / np.maximum(denominator, 1), dtype=np.float64)


def _medians(
    slots: NDArray[np.int64], values: NDArray[np.int64], num_users: int
) -> NDArray[np.float64]:
    """Median of each user's values, the mean of the middle two of an even number; 0 of none."""
    if not len(values):
        return np.zeros(num_users)
    ordered = values[np.lexsort((values, slots))]
    counts = np.bincount(slots, minlength=num_users)
    starts = np.concatenate(([0], np.cumsum(counts)[:-1]))
    lower = np.minimum(starts + (counts - 1).clip(0) // 2, len(values) - 1)
    upper = np.minimum(starts + counts // 2, len(values) - 1)
    return np.where(counts > 0, (ordered[lower] + ordered[upper]) / 2, 0.0)


def _median_gaps(posts: _PostColumns, num_users: int) -> NDArray[np.float64]:
    order = np.lexsort((posts.time, posts.slot))
    slots, times = posts.slot[order], posts.time[order]
    same_user = slots[1:] == slots[:-1]
    return _medians(slots[1:][same_user], np.diff(times)[same_user], num_users)


def _assemble(
    profiles: Sequence[Profile], of_posts: dict[str, NDArray[np.float64]]
) -> NDArray[np.float32]:
    profile_time = np.array([profile.time or 0 for profile in profiles], dtype=np.float64)
    created = np.array(
        [np.nan if profile.created_at is None else profile.created_at for profile in profiles],
        dtype=np.float64,
    )
    age = (np.maximum(profile_time, of_posts["newest"]) - created) / _MICROSECONDS_PER_DAY
    values = of_posts | {
        "has_profile": np.array([profile.username is not None for profile in profiles]),
        "is_verified": np.array([profile.is_verified is True for profile in profiles]),
        "account_age_days": np.nan_to_num(np.maximum(age, 0.0), nan=0.0),
        "stated_posts": np.array(
            [min(profile.post_count or 0, _MAX_COUNT) for profile in profiles]
        ),
    }
    matrix = np.empty((len(profiles), len(STATISTICS)), dtype=np.float32)
    for column, name in enumerate(STATISTICS):
        matrix[:, column] = values[name]
    return matrix
