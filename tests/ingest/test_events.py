"""What each event states, and which events are dead letters."""

import json
from hashlib import blake2b

import pytest

from graphdb.facts import (
    EngagementFact,
    LabelFact,
    PostDeletion,
    PostFact,
    ProfileFact,
    UserDeletion,
)
from ingest.errors import EventRejected
from ingest.events.event import Fact, FollowFact, read_event
from tests.ingest.made import DATA, NOW, TIME_US, event, line, without

LEAP_SECOND_US = 1_483_228_799_999_999
TIE = int.from_bytes(blake2b(b"/test\0e1").digest()[:8], "big", signed=True)

STATED: dict[str, Fact] = {
    "user.updated": ProfileFact(user_id="ann", time=TIME_US, tie=TIE, username="ann.a"),
    "user.deleted": UserDeletion(user_id="ann", time=TIME_US),
    "post.created": PostFact(post_id="p1", user_id="ann", time=TIME_US, tie=TIE, caption="hi"),
    "post.engagement": EngagementFact(
        post_id="p1", time=TIME_US, tie=TIE, like_count=3, comment_count=0
    ),
    "post.deleted": PostDeletion(post_id="p1", time=TIME_US),
    "follow.created": FollowFact(
        follower_id="ann", followee_id="bob", time=TIME_US, tie=TIE, live=True
    ),
    "follow.deleted": FollowFact(
        follower_id="ann", followee_id="bob", time=TIME_US, tie=TIE, live=False
    ),
    "user.labeled": LabelFact(
        subject_kind="user",
        subject_id="ann",
        task="topic",
        annotator="human",
        labels=("a", "b"),
        time=TIME_US,
        tie=TIE,
    ),
    "post.labeled": LabelFact(
        subject_kind="post",
        subject_id="p1",
        task="tone",
        annotator="human",
        labels=(),
        time=TIME_US,
        tie=TIE,
    ),
}


@pytest.mark.parametrize("kind", DATA)
def test_each_type_states_its_fact(kind: str) -> None:
    assert read_event(line(kind), NOW) == STATED[kind]


@pytest.mark.parametrize("kind", DATA)
def test_unknown_fields_are_ignored(kind: str) -> None:
    extended = line(kind, datacontenttype="application/json", data={"colour": {"deep": [1, None]}})
    assert read_event(extended, NOW) == STATED[kind]


def test_all_fields_of_a_profile() -> None:
    fields = {
        "full_name": "Ann",
        "biography": "b",
        "follower_count": 1,
        "following_count": 2,
        "post_count": 3,
        "is_verified": True,
    }
    stated = read_event(
        line("user.updated", data={**fields, "created_at": "2020-01-01T01:00:00+01:00"}), NOW
    )
    assert stated == ProfileFact(
        user_id="ann",
        time=TIME_US,
        tie=TIE,
        username="ann.a",
        created_at=1_577_836_800_000_000,
        **fields,  # type: ignore[arg-type]
    )


def test_all_fields_of_a_post() -> None:
    fields = {"image": "images/a.jpg", "hashtags": ["x", "y"], "mentions": ["bob"]}
    counts = {"like_count": 2**63 - 1, "comment_count": 0}
    stated = read_event(line("post.created", data={**fields, **counts}), NOW)
    assert isinstance(stated, PostFact)
    assert (stated.image, stated.hashtags, stated.mentions) == (
        "images/a.jpg",
        ("x", "y"),
        ("bob",),
    )
    assert (stated.like_count, stated.comment_count) == (2**63 - 1, 0)


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-01-02T03:04:05.678901999Z", TIME_US),
        ("2026-01-02t03:04:05.678901z", TIME_US),
        ("2026-01-02 03:04:05.678901Z", TIME_US),
        ("2026-01-02T05:34:05.678901+02:30", TIME_US),
        ("2026-01-02T03:04:05.678901-00:00", TIME_US),
        ("2026-01-02T03:04:05.6Z", TIME_US - 78_901),
        ("2016-12-31T23:59:60Z", LEAP_SECOND_US),
        ("2016-12-31t23:59:60.25z", LEAP_SECOND_US),
        ("2016-12-31T15:59:60-08:00", LEAP_SECOND_US),
    ],
)
def test_times_are_cut_to_microseconds(text: str, microseconds: int) -> None:
    stated = read_event(line(time=text), NOW)
    assert stated.time == microseconds


def test_a_time_up_to_a_day_ahead_of_the_clock_is_taken() -> None:
    day = 86_400_000_000
    assert read_event(line(), TIME_US - day).time == TIME_US
    with pytest.raises(EventRejected, match="24 h ahead"):
        read_event(line(), TIME_US - day - 1)


def test_counts_as_pandas_writes_them() -> None:
    stated = read_event(line("post.created", data={"like_count": 3.0, "comment_count": None}), NOW)
    assert isinstance(stated, PostFact)
    assert (stated.like_count, stated.comment_count) == (3, None)
    stated = read_event(
        line("post.engagement", data={"like_count": 1e3, "comment_count": -0.0}), NOW
    )
    assert isinstance(stated, EngagementFact)
    assert [(count, type(count)) for count in (stated.like_count, stated.comment_count)] == [
        (1000, int),
        (0, int),
    ]
    counts = dict.fromkeys(("follower_count", "following_count", "post_count"), 7.0)
    stated = read_event(line("user.updated", data=counts), NOW)
    assert isinstance(stated, ProfileFact)
    assert [stated.follower_count, stated.following_count, stated.post_count] == [7, 7, 7]
    assert type(stated.post_count) is int


@pytest.mark.parametrize(
    "text",
    [
        line("post.created", data={"caption": None, "hashtags": None, "mentions": None}),
        without("post.created", "caption", "hashtags", "mentions"),
    ],
)
def test_a_post_without_words(text: bytes) -> None:
    assert read_event(text, NOW) == PostFact(
        post_id="p1", user_id="ann", time=TIME_US, tie=TIE, caption=""
    )


LONG_ID = "é" * 128
BAD = {
    "empty": (b"{}", "type"),
    "truncated": (line()[:-9], "truncated"),
    "trailing": (line() + b" x", "trailing"),
    "not an object": (b"[1]", "object"),
    "not JSON": (b"\x00\x01", "malformed"),
    "nested too deeply": (line()[:-1] + b', "x": ' + b"[" * 100_000, "recursion"),
    "invalid UTF-8": (line().replace(b"bob", b"b\xffb"), "UTF-8"),
    "invalid UTF-8 in a field that is ignored": (line(x="?").replace(b"?", b"\xc3"), "UTF-8"),
    "unknown type": (line("story.created"), "story.created"),
    "no type": (line().replace(b'"type"', b'"kind"'), "type"),
    "unknown specversion": (line(specversion="1.1"), "1.1"),
    "no specversion": (line().replace(b'"specversion"', b'"version"'), "specversion"),
    "no time": (line().replace(b'"time"', b'"tame"'), "time"),
    "no data": (line().replace(b'"data"', b'"date"'), "data"),
    "data of a wrong type": (line().replace(b'"data": {', b'"data": [], "x": {'), "array"),
    "empty event id": (line(id=""), "id is empty"),
    "event id of a wrong type": (line(id=1), "Expected `str`"),
    "event id with control character": (line(id="a\x7f"), "id has a control"),
    "empty source": (line(source=""), "source is empty"),
    "source too long": (line(source="s" * 257), "source is longer"),
    "subject of a wrong type": (line(subject=4), "Expected `str"),
    "time without offset": (line(time="2026-01-02T03:04:05"), "no offset"),
    "time in words": (line(time="today"), "RFC 3339"),
    "time as a number": (line(time=1_600_000_000), "Expected `str`"),
    "date alone": (line(time="2026-01-02"), "RFC 3339"),
    "week date": (line(time="2026-W01-2T03:04:05Z"), "RFC 3339"),
    "basic format": (line(time="20260102T030405Z"), "RFC 3339"),
    "other digits": (line(time="٢٠٢٦-01-02T03:04:05Z"), "RFC 3339"),
    "no such day": (line(time="2026-02-30T00:00:00Z"), "calendar"),
    "no such hour": (line(time="2026-02-20T24:00:00Z"), "calendar"),
    "no such second": (line(time="2026-02-20T23:59:61Z"), "calendar"),
    "a leap second of no such day": (line(time="2026-02-30T23:59:60Z"), "calendar"),
    "year 0": (line(time="0000-01-01T00:00:00Z"), "calendar"),
    "year 1": (line(time="0001-01-01T00:00:00+23:59"), "before 1970"),
    "before 1970": (line(time="1969-12-31T23:59:59.999999Z"), "before 1970"),
    "year 9999": (line(time="9999-12-31T23:59:59.9999999-23:59"), "ahead"),
    "self-follow": (line(data={"followee_id": "ann"}), "same user"),
    "self-unfollow": (line("follow.deleted", data={"followee_id": "ann"}), "same user"),
    "empty user id": (line(data={"followee_id": ""}), "followee_id is empty"),
    "user id too long": (line(data={"followee_id": LONG_ID + "x"}), "longer than 256"),
    "user id with NUL": (line(data={"followee_id": "a\0"}), "control"),
    "user id with a C1 control": (line(data={"followee_id": "a\x85"}), "control"),
    "user id of a wrong type": (line(data={"follower_id": None}), "Expected `str`"),
    "follow without followee": (without("follow.created", "followee_id"), "followee_id"),
    "profile without username": (without("user.updated", "username"), "username"),
    "profile with NUL": (line("user.updated", data={"biography": "a\0b"}), "biography has a NUL"),
    "count below zero": (line("user.updated", data={"post_count": -1}), "post_count"),
    "count as text": (line("user.updated", data={"post_count": "1"}), "post_count"),
    "count as float": (line("user.updated", data={"post_count": 1.5}), "post_count"),
    "count as truth value": (line("user.updated", data={"post_count": True}), "post_count"),
    "count beyond 64 bits": (line("user.updated", data={"post_count": 2**63}), "post_count"),
    "verified as number": (line("user.updated", data={"is_verified": 1}), "is_verified"),
    "created_at without offset": (
        line("user.updated", data={"created_at": "2020-01-01T00:00:00"}),
        "created_at has no offset",
    ),
    "created_at in 9999": (
        line("user.updated", data={"created_at": "9999-01-01T00:00:00Z"}),
        "created_at is more",
    ),
    "count of 2^63 as float": (line("post.engagement", data={"like_count": 2.0**63}), "like_count"),
    "count below zero as float": (line("user.updated", data={"post_count": -1.0}), "post_count"),
    "half a like": (line("post.engagement", data={"like_count": 0.5}), "like_count is not a whole"),
    "caption of a wrong type": (line("post.created", data={"caption": 1}), "caption"),
    "caption with NUL": (line("post.created", data={"caption": "a\0"}), "caption has a NUL"),
    "caption too long": (line("post.created", data={"caption": "é" * 32_769}), "65536"),
    "caption with a lone high surrogate": (line("post.created", data={"caption": "\ud800"}), ""),
    "caption with a lone low surrogate": (line("post.created", data={"caption": "a\udc00b"}), ""),
    "caption with surrogates the wrong way": (
        line("post.created", data={"caption": "\ude00\ud83d"}),
        "",
    ),
    "image of a wrong type": (line("post.created", data={"image": []}), "image"),
    "image with NUL": (line("post.created", data={"image": "a\0"}), "image"),
    "hashtag of a wrong type": (line("post.created", data={"hashtags": [1]}), "hashtags"),
    "hashtag with NUL": (line("post.created", data={"hashtags": ["\0"]}), "hashtag"),
    "mention of nobody": (line("post.created", data={"mentions": [""]}), "mention is empty"),
    "negative likes": (line("post.engagement", data={"like_count": -1}), "like_count"),
    "likes are null": (line("post.engagement", data={"like_count": None}), "like_count"),
    "no comments": (without("post.engagement", "comment_count"), "comment_count"),
    "label without task": (without("user.labeled", "task"), "task"),
    "label with empty task": (line("user.labeled", data={"task": ""}), "task is empty"),
    "labels as text": (line("user.labeled", data={"labels": "a"}), "labels"),
    "label with NUL": (line("user.labeled", data={"labels": ["\0"]}), "label has a NUL"),
    "empty annotator": (line("post.labeled", data={"annotator": ""}), "annotator is empty"),
}


@pytest.mark.parametrize("name", BAD)
def test_an_event_at_fault_is_rejected_with_a_reason_of_one_line(name: str) -> None:
    bad, reason = BAD[name]
    with pytest.raises(EventRejected) as rejection:
        read_event(bad, NOW)
    text = str(rejection.value)
    assert reason in text
    assert text.isprintable()
    assert 0 < len(text) <= 200


def test_reasons_do_not_repeat_long_or_broken_content() -> None:
    with pytest.raises(EventRejected) as rejection:
        read_event(line("x\n\x1b" * 1000), NOW)
    assert len(str(rejection.value)) <= 200
    assert str(rejection.value).isprintable()


@pytest.mark.parametrize("user_id", [LONG_ID, "x" * 256, " ", "a\u2028b", "😀", "a\xa0b"])
def test_unusual_ids_that_are_valid(user_id: str) -> None:
    stated = read_event(line(data={"followee_id": user_id}), NOW)
    assert isinstance(stated, FollowFact)
    assert stated.followee_id == user_id


@pytest.mark.parametrize("caption", ["", "x" * 65_536, "é" * 32_768, "😀", "a\tb\nc\x01"])
def test_unusual_texts_that_are_valid(caption: str) -> None:
    stated = read_event(line("post.created", data={"caption": caption}), NOW)
    assert isinstance(stated, PostFact)
    assert stated.caption == caption


def test_escaped_pairs_of_surrogates_are_one_character() -> None:
    text = json.dumps(event("post.created", data={"caption": "😀"}))
    assert "\\ud83d\\ude00" in text
    stated = read_event(text.encode(), NOW)
    assert isinstance(stated, PostFact)
    assert stated.caption == "😀"
