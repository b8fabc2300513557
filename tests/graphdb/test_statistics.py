import statistics
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphdb.statistics import STATISTICS, user_statistics
from graphdb.store import Post, Profile

DAY = 86_400_000_000
HOUR = DAY // 24


def profile(user_id: str, **given_fields: object) -> Profile:
    absent = Profile(
        user_id=user_id,
        time=None,
        username=None,
        full_name=None,
        biography=None,
        follower_count=None,
        following_count=None,
        post_count=None,
        is_verified=None,
        created_at=None,
    )
    return replace(absent, **given_fields)  # type: ignore[arg-type]


def post(post_id: str, user_id: str, **given_fields: object) -> Post:
    plain = Post(
        post_id=post_id,
        user_id=user_id,
        time=0,
        caption="",
        image=None,
        hashtags=(),
        mentions=(),
        like_count=None,
        comment_count=None,
    )
    return replace(plain, **given_fields)  # type: ignore[arg-type]


def named(row: np.ndarray) -> dict[str, float]:
    return dict(zip(STATISTICS, row.tolist(), strict=True))


counts = st.none() | st.integers(0, 2**62)
times = st.integers(0, 2_000 * 365 * DAY // 100)
user_names = st.sampled_from(["ann", "bob", "cat", "dan"])
profiles = st.builds(
    profile,
    user_names,
    time=st.none() | times,
    username=st.none() | st.just("name"),
    post_count=counts,
    is_verified=st.none() | st.booleans(),
    created_at=st.none() | times,
)
posts_of_all = st.lists(
    st.builds(
        post,
        st.text(max_size=3),
        st.sampled_from(["ann", "bob", "cat", "dan", "stranger"]),
        time=times,
        caption=st.sampled_from(["", "sun", "see https://example.org"]),
        image=st.none() | st.just("a.jpg"),
        hashtags=st.sampled_from([(), ("sun",), ("sea", "sun")]),
        like_count=counts,
        comment_count=counts,
    ),
    max_size=30,
)


def test_statistics_of_a_small_user_by_hand() -> None:
    ann = profile(
        "ann", time=10 * DAY, username="Ann", post_count=7, is_verified=True, created_at=2 * DAY
    )
    own = [
        post("1", "ann", time=0, like_count=1, caption="https://a.b", image="x.jpg"),
        post("2", "ann", time=28 * DAY, like_count=8, comment_count=3, hashtags=("a", "b")),
        post("3", "ann", time=2 * DAY, like_count=0, comment_count=0, caption="four"),
        post("4", "ann", time=1 * DAY),
    ]
    row = named(user_statistics([ann], own)[0])
    assert row == pytest.approx(
        {
            "has_profile": 1,
            "is_verified": 1,
            "account_age_days": 26,
            "stated_posts": 7,
            "num_posts": 4,
            "posts_per_week": 1,
            "median_gap_hours": 24,
            "image_share": 0.25,
            "link_share": 0.25,
            "caption_length": 15 / 4,
            "hashtags_per_post": 0.5,
            "likes_known_share": 0.75,
            "mean_likes": 3,
            "median_likes": 1,
            "max_likes": 8,
            "mean_comments": 1.5,
        }
    )


def test_a_user_of_whom_nothing_is_known_is_all_zero() -> None:
    assert not user_statistics([profile("ann")], []).any()
    assert user_statistics([], []).shape == (0, 16)


@given(st.lists(profiles, max_size=6), posts_of_all)
def test_values_are_finite_and_not_negative(users: list[Profile], posts: list[Post]) -> None:
    matrix = user_statistics(users, posts)
    assert matrix.dtype == np.float32
    assert matrix.shape == (len(users), 16)
    assert np.isfinite(matrix).all()
    assert (matrix >= 0).all()


@given(st.lists(profiles, max_size=6), posts_of_all, st.randoms(use_true_random=False))
def test_rows_do_not_depend_on_the_batch(
    users: list[Profile], posts: list[Post], random: object
) -> None:
    together = user_statistics(users, posts)
    shuffled = list(posts)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    for row, user in zip(together, users, strict=True):
        alone = user_statistics([user], shuffled)
        assert alone.tobytes() == row.tobytes()
        own = [each for each in posts if each.user_id == user.user_id]
        assert user_statistics([user], own).tobytes() == row.tobytes()


@given(profiles, posts_of_all)
def test_post_statistics_are_those_of_a_plain_loop(user: Profile, posts: list[Post]) -> None:
    own = [each for each in posts if each.user_id == user.user_id]
    likes = [min(each.like_count, 2**40) for each in own if each.like_count is not None]
    moments = sorted(each.time for each in own)
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    row = named(user_statistics([user], posts)[0])
    assert row["num_posts"] == len(own)
    assert row["mean_likes"] == pytest.approx(statistics.mean(likes) if likes else 0)
    assert row["median_likes"] == pytest.approx(statistics.median(likes) if likes else 0)
    assert row["max_likes"] == pytest.approx(max(likes, default=0))
    assert row["median_gap_hours"] == pytest.approx(statistics.median(gaps) / HOUR if gaps else 0)


def test_nothing_of_follows_or_mentions_enters() -> None:
    quiet = profile("ann", username="Ann")
    loud = replace(quiet, follower_count=10**6, following_count=10**5)
    plain, mentioning = post("1", "ann"), post("1", "ann", mentions=("bob", "cat"))
    before, after = user_statistics([quiet], [plain]), user_statistics([loud], [mentioning])
    assert before.tobytes() == after.tobytes()
