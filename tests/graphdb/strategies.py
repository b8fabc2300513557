"""Random facts from a world so small that they collide: few users, posts, times and texts."""

from itertools import pairwise

from hypothesis import strategies as st

from tests.graphdb import made_facts as made
from tests.graphdb.specification import Fact

# Their order in UTF-8 is not that in UTF-16, nor that in lower case.
USERS = ("Bob", "ann", "\uff5e", "\U0001f600")
BOB, ANN, WIDE, SMILE = USERS

# A post has one author.
AUTHORS = {"p1": ANN, "p2": ANN, "p3": BOB}
PAIRS = ((ANN, BOB), (BOB, ANN), (ANN, WIDE), (WIDE, SMILE), (SMILE, ANN))
ANNOTATIONS = (("topic", "human"), ("topic", "model"), ("mood", "human"))

TIMES = st.integers(0, 5)
users = st.sampled_from(USERS)
post_ids = st.sampled_from(sorted(AUTHORS))
texts = st.sampled_from(["", "a", "Ä\n\"\\'", "\U0001f600"])
names = st.sampled_from(["x", "y", "ß"])
sizes = st.one_of(st.none(), st.integers(0, 3), st.just(2**62))

profiles = st.builds(
    made.profile,
    users,
    TIMES,
    username=st.sampled_from(["u", "v"]),
    full_name=st.none() | texts,
    biography=st.none() | texts,
    follower_count=sizes,
    following_count=sizes,
    post_count=sizes,
    is_verified=st.none() | st.booleans(),
    created_at=st.none() | st.integers(0, 2),
)


@st.composite
def posts(draw: st.DrawFn) -> Fact:
    post_id = draw(post_ids)
    return made.post(
        post_id,
        AUTHORS[post_id],
        draw(TIMES),
        caption=draw(texts),
        image=draw(st.none() | names),
        hashtags=draw(st.lists(names, max_size=3)),
        mentions=draw(st.lists(users, max_size=3)),
        like_count=draw(sizes),
        comment_count=draw(sizes),
    )


engagements = st.builds(
    made.engagement, post_ids, TIMES, likes=st.integers(0, 3), comments=st.integers(0, 3)
)


@st.composite
def labels(draw: st.DrawFn) -> Fact:
    task, annotator = draw(st.sampled_from(ANNOTATIONS))
    kind, subjects = draw(st.sampled_from([("user", users), ("post", post_ids)]))
    return made.label(
        "user" if kind == "user" else "post",
        draw(subjects),
        draw(TIMES),
        *draw(st.lists(names, max_size=2)),
        task=task,
        annotator=annotator,
    )


@st.composite
def follows(draw: st.DrawFn) -> Fact:
    follower, followee = draw(st.sampled_from(PAIRS))
    return made.follow(follower, followee, draw(TIMES), live=draw(st.booleans()))


# Deletions are rarer and mostly older than what they are about, or little would ever live.
DELETION_TIMES = st.sampled_from([0, 1, 1, 2, 2, 3, 4])
deletions: st.SearchStrategy[Fact] = st.one_of(
    st.builds(made.user_deletion, users, DELETION_TIMES),
    st.builds(made.post_deletion, post_ids, DELETION_TIMES),
)

facts: st.SearchStrategy[Fact] = st.one_of(
    follows(), follows(), posts(), posts(), labels(), labels(), profiles, engagements, deletions
)
"""Any fact; what collides in (time, tie) is the same fact."""


def cut(items: list[Fact], num_cuts: list[int]) -> list[list[Fact]]:
    """The items in order, cut into consecutive batches at these places (any integers)."""
    places = sorted({place % (len(items) + 1) for place in num_cuts} | {0, len(items)})
    return [items[start:stop] for start, stop in pairwise(places)]
