"""The batch path accepts the same events and states the same facts as the general path."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.errors import EventRejected
from ingest.events.decoding import Decoded, decode
from ingest.events.event import fact_of, parse
from tests.ingest.made import DATA, NOW, event, follow_lines, line
from tests.ingest.test_events import BAD


def one_by_one(lines: list[bytes], now: int, folder: str = "") -> Decoded:
    """What the batch path must equal."""
    expected = Decoded()
    for index, text in enumerate(lines):
        try:
            expected.add(fact_of(parse(text), now, folder))
        except EventRejected as rejection:
            expected.rejected.append((index, str(rejection)))
    return expected


ids = st.one_of(
    st.sampled_from(["ann", "bob", "u1", "x" * 64, "x" * 65, "é" * 128, "a b", "\u2028"]),
    st.sampled_from(["", "x" * 257, "é" * 129, "a\0", "\x85", "tab\t"]),
    st.text(max_size=5),
)
times = st.one_of(
    st.datetimes().map(lambda moment: moment.isoformat() + "Z"),
    st.sampled_from(
        [
            "2026-01-02T03:04:05Z",
            "2026-01-02T03:04:05.123456789Z",
            "2026-01-02T03:04:05.1234567891Z",
            "2026-01-02T03:04:05.Z",
            "2026-01-02T24:00:00Z",
            "2026-01-02T23:59:60Z",
            "2026-02-30T00:00:00Z",
            "0000-01-01T00:00:00Z",
            "1969-12-31T23:59:59.999999Z",
            "1970-01-01T00:00:00Z",
            "9999-12-31T23:59:59Z",
            "2026-01-02T03:04:05+01:00",
            "2026-01-02T03:04:05\nZ",
            "2026-01-02T03:04:05",
            "٢026-01-02T03:04:05Z",
            "",
        ]
    ),
)
follows = st.fixed_dictionaries(
    {
        "specversion": st.sampled_from(["1.0", "1.0", "1.0", "2.0"]),
        "id": ids,
        "source": st.one_of(st.just("/test"), ids),
        "type": st.sampled_from(["follow.created", "follow.deleted"]),
        "time": times,
        "data": st.fixed_dictionaries({"follower_id": ids, "followee_id": ids}),
    }
)
valid_follows = st.builds(
    lambda follower, followee, kind: event(
        kind, data={"follower_id": follower, "followee_id": f"{followee}!"}
    ),
    st.integers().map(str),
    st.integers().map(str),
    st.sampled_from(["follow.created", "follow.deleted"]),
)
texts = st.one_of(
    st.sampled_from(["hi", "", "a\0", "x" * 16_385, "é" * 32_769, "./a.jpg", "https://a/b.jpg"]),
    st.text(max_size=5),
)
counts = st.one_of(st.integers(0, 9), st.sampled_from([None, 3.0, 1.5, -1, 2**63, True, "3"]))
posts = st.fixed_dictionaries(
    {
        "specversion": st.just("1.0"),
        "id": ids,
        "source": st.just("/test"),
        "type": st.sampled_from(["post.created", "post.engagement"]),
        "time": times,
        "data": st.fixed_dictionaries(
            {"post_id": ids, "user_id": ids, "like_count": counts, "comment_count": counts},
            optional={
                "caption": st.none() | texts,
                "image": st.none() | texts,
                "hashtags": st.none() | st.lists(texts, max_size=2),
                "mentions": st.none() | st.lists(ids, max_size=2),
            },
        ),
    }
)
valid_posts = st.builds(
    lambda kind, tags, likes: event(
        kind, data={"hashtags": tags, "mentions": tags, "like_count": likes, "image": "a.jpg"}
    ),
    st.sampled_from(["post.created", "post.engagement"]),
    st.lists(st.sampled_from(["x", "y"])),
    st.integers(0, 9),
)
others = st.sampled_from(
    [
        *(event(kind) for kind in DATA),
        event("post.engagement", data={"like_count": 3.0}),
        event("post.created", data={"caption": None, "comment_count": 1.5}),
    ]
)
anything: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)
lines_of_any_kind = st.one_of(
    st.one_of(follows, valid_follows, posts, valid_posts, others, anything).map(
        lambda made: json.dumps(made).encode()
    ),
    st.sampled_from([bad for bad, _ in BAD.values()]),
    st.binary(max_size=20),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(lines_of_any_kind, max_size=6))
def test_a_batch_is_decoded_as_its_events_one_by_one(lines: list[bytes]) -> None:
    assert decode(lines, NOW) == one_by_one(lines, NOW)


@settings(max_examples=200, deadline=None)
@given(st.lists(valid_follows, max_size=20))
def test_a_batch_of_valid_follows_is_decoded_in_order(made: list[dict[str, Any]]) -> None:
    lines = [json.dumps(each).encode() for each in made]
    assert decode(lines, NOW) == one_by_one(lines, NOW)


@settings(max_examples=200, deadline=None)
@given(st.lists(valid_posts, max_size=20))
def test_a_batch_of_valid_posts_is_decoded_in_order(made: list[dict[str, Any]]) -> None:
    lines = [json.dumps(each).encode() for each in made]
    assert decode(lines, NOW, "/crawl") == one_by_one(lines, NOW, "/crawl")


@settings(max_examples=200, deadline=None)
@given(posts)
def test_a_post_is_decoded_alike(made: dict[str, Any]) -> None:
    lines = [json.dumps(made).encode()]
    assert decode(lines, NOW) == one_by_one(lines, NOW)


@settings(max_examples=200, deadline=None)
@given(follows)
def test_a_follow_is_decoded_alike(made: dict[str, Any]) -> None:
    lines = [json.dumps(made).encode()]
    assert decode(lines, NOW) == one_by_one(lines, NOW)


def test_one_bad_event_costs_only_itself() -> None:
    lines = follow_lines(1000)
    for place, (bad, _) in enumerate(BAD.values()):
        lines[place * 10] = bad
    decoded = decode(lines, NOW)
    assert [index for index, _ in decoded.rejected] == [place * 10 for place in range(len(BAD))]
    assert len(decoded.follows) == 1000 - len(BAD)


def test_an_empty_batch() -> None:
    assert decode([], NOW) == Decoded()


def test_sources_differ_in_their_ties() -> None:
    decoded = decode([line(source="/a"), line(source="/b"), line(source="/a")], NOW)
    first, second, third = decoded.follows.ties
    assert first == third != second
