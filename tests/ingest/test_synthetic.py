"""The made-up network: the same for the same seed, of all kinds of events, with structure."""

import json
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from ingest.events.decoding import Decoded, decode
from ingest.synthetic import SyntheticNetwork, write_follow_events, write_synthetic_network
from ingest.synthetic.topics import TOPICS
from tests.ingest.made import NOW


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> SyntheticNetwork:
    return write_synthetic_network(tmp_path_factory.mktemp("network"), num_users=120)


@pytest.fixture(scope="module")
def decoded(network: SyntheticNetwork) -> Decoded:
    return decode(network.events.read_bytes().splitlines(), NOW)


def test_it_has_all_kinds_of_events(network: SyntheticNetwork, decoded: Decoded) -> None:
    lines = network.events.read_bytes().splitlines()
    assert len(lines) == network.num_events
    assert len(decoded.rejected) == network.num_bad_events
    assert len(set(lines)) <= network.num_events - network.num_duplicates
    assert not all(decoded.follows.live)
    for facts in (
        decoded.profiles,
        decoded.posts,
        decoded.engagements,
        decoded.labels,
        decoded.user_deletions,
        decoded.post_deletions,
    ):
        assert facts


def test_it_is_not_in_order_of_time(network: SyntheticNetwork) -> None:
    times = [
        json.loads(text)["time"]
        for text in network.events.read_text(errors="replace").splitlines()
        if '"/synthetic"' in text and text.endswith("}}") and '"id": "bad"' not in text
    ]
    assert times != sorted(times)


def test_each_bad_event_has_a_reason_of_its_own(decoded: Decoded) -> None:
    reasons = {reason for _, reason in decoded.rejected}
    assert len(reasons) >= len(decoded.rejected) - 1


def test_people_follow_their_own_kind_and_many_follow_back(
    network: SyntheticNetwork, decoded: Decoded
) -> None:
    labels = [json.loads(text) for text in network.labels.read_text().splitlines()]
    topics = {label["user_id"]: label["topic"] for label in labels}
    pairs = set(zip(decoded.follows.follower_ids, decoded.follows.followee_ids, strict=True))
    alike = [topics[a] == topics[b] for a, b in pairs if a in topics and b in topics]
    shares = [number / len(topics) for number in Counter(topics.values()).values()]
    assert sum(alike) / len(alike) > 2 * sum(share**2 for share in shares)
    assert sum((b, a) in pairs for a, b in pairs) > 0.3 * len(pairs)
    followers = sorted(Counter(decoded.follows.followee_ids).values(), reverse=True)
    assert followers[0] > 4 * followers[len(followers) // 2]


def test_images_lie_where_posts_say(network: SyntheticNetwork, decoded: Decoded) -> None:
    images = {post.image for post in decoded.posts if post.image is not None}
    assert len(images) == network.num_images
    for image in sorted(images)[:20]:
        with Image.open(network.folder / image) as picture:
            assert picture.format == "JPEG"
            assert 64 <= min(picture.size) <= max(picture.size) <= 96


def test_captions_speak_of_a_topic(decoded: Decoded) -> None:
    vocabulary = {word for topic in TOPICS for word in topic.words}
    on_topic = [bool(vocabulary & set(post.caption.split())) for post in decoded.posts]
    assert sum(on_topic) > 0.9 * len(on_topic)


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    first = write_synthetic_network(tmp_path / "a", num_users=20, seed=5)
    second = write_synthetic_network(tmp_path / "b", num_users=20, seed=5)
    third = write_synthetic_network(tmp_path / "c", num_users=20, seed=6)
    files = [path.relative_to(first.folder) for path in first.folder.rglob("*") if path.is_file()]
    assert len(files) > 2
    for name in files:
        assert (first.folder / name).read_bytes() == (second.folder / name).read_bytes()
    assert first.events.read_bytes() != third.events.read_bytes()


def test_sizes_that_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="num_topics"):
        write_synthetic_network(tmp_path, num_topics=7)
    with pytest.raises(ValueError, match="num_users"):
        write_synthetic_network(tmp_path, num_users=1)


def test_follow_events_for_benchmarks(tmp_path: Path) -> None:
    path = tmp_path / "follows.jsonl"
    write_follow_events(path, num_events=20_000, num_users=1_000, seed=1)
    lines = path.read_bytes().splitlines()
    assert len(lines) == 20_000
    assert 0.04 < 1 - len(set(lines)) / len(lines) < 0.06
    decoded = decode(lines, NOW)
    assert decoded.rejected == []
    assert 0.02 < decoded.follows.live.count(False) / len(lines) < 0.04
    rows = list(
        zip(
            decoded.follows.follower_ids,
            decoded.follows.followee_ids,
            decoded.follows.live,
            strict=True,
        )
    )
    created = {(follower, followee) for follower, followee, live in rows if live}
    ended = {(follower, followee) for follower, followee, live in rows if not live}
    assert created >= ended
