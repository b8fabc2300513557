"""Lists of followers and followees become follows."""

import tracemalloc
from typing import Any

import pytest

from ingest.instaloader.contents import BYTE_ORDER_MARK
from tests.ingest.instaloader.written import (
    PUBLISHED_TIME,
    SAVED_TIME,
    Folder,
    crawl_of,
    download,
    events_of,
    follows,
    lines_of,
)


def pairs(folder: Folder) -> set[tuple[str, str]]:
    return {(follower, followee) for follower, followee, _ in follows(events_of(folder.path))}


class TestText:
    def test_a_username_a_line_at_the_time_of_the_file(self, folder: Folder) -> None:
        folder.text("ann/followers.txt", "bob\n@Cem\r\n\nx.y_1")
        assert set(follows(events_of(folder.path))) == {
            (name, "ann", SAVED_TIME) for name in ("bob", "cem", "x.y_1")
        }

    @pytest.mark.parametrize("kind", ["followees", "following", "FOLLOWEES"])
    def test_followees(self, folder: Folder, kind: str) -> None:
        folder.text(f"ann/{kind}.txt", "bob\n")
        assert pairs(folder) == {("ann", "bob")}

    def test_a_list_names_its_profile_or_stands_in_its_folder(self, folder: Folder) -> None:
        folder.text("lists/Ann_followers.txt", "bob\n")
        folder.profile("cem", 3)
        folder.text("cem/followers.txt", "bob\n")
        folder.structure("backup/dan_4.json.xz", "Profile", {"id": "4", "username": "dan"})
        folder.text("backup/followees.txt", "bob\n")
        assert pairs(folder) == {("bob", "ann"), ("bob", "cem"), ("dan", "bob")}

    def test_the_imported_folder_may_be_that_of_a_profile(self, folder: Folder) -> None:
        folder.text("ann/followers.txt", "bob\n")
        assert pairs(Folder(folder.path / "ann")) == {("bob", "ann")}

    def test_a_list_above_several_profiles_is_of_none(self, folder: Folder) -> None:
        folder.profile("ann", 1)
        folder.text("followers.txt", "bob\n")
        crawl = crawl_of(folder.path)
        lines_of(crawl)
        assert crawl.skipped.document() == {"lists of follows whose profile is unknown": 1}

    def test_what_is_no_username_is_counted(self, folder: Folder) -> None:
        bad = b"no name\nhttps://x.y/z\n\xff\xfe\n" + b"a" * 100_000
        folder.text("ann/followers.txt", BYTE_ORDER_MARK + b"bob\n" + bad + b"\nann\ncem")
        crawl = crawl_of(folder.path)
        assert len(lines_of(crawl)) == 2
        assert crawl.skipped.document() == {
            "entries that are not a username": 4,
            "follows of oneself": 1,
        }

    def test_memory_does_not_grow_with_the_list(self, folder: Folder) -> None:
        folder.text("ann/followers.txt", "".join(f"user{i}\n" for i in range(20_000)))
        crawl = crawl_of(folder.path)
        tracemalloc.start()
        try:
            num_events = sum(len(events.lines) for events in crawl.events())
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert num_events == 20_000
        assert peak < 2 << 20  # all lines together are 5 MB


class TestJson:
    def test_a_data_download_has_times_of_its_own(self, folder: Folder) -> None:
        base = "instagram-ann-2025-06-13-YOudpLi7/connections/followers_and_following"
        folder.json(f"{base}/followers_1.json", download("bob"))
        folder.json(f"{base}/followers_2.json", download("cem", timestamp=0))
        address = {"href": "https://www.instagram.com/_u/dan", "timestamp": 1_700_000_000}
        followees = [{"title": "dan", "string_list_data": [address]}]
        folder.json(f"{base}/following.json", {"relationships_following": followees})
        assert set(follows(events_of(folder.path))) == {
            ("bob", "ann", PUBLISHED_TIME),
            ("cem", "ann", SAVED_TIME),
            ("ann", "dan", PUBLISHED_TIME),
        }

    @pytest.mark.parametrize(
        "content",
        [
            ["bob", "cem"],
            [{"id": "2", "username": "bob"}, {"pk": 3, "username": "Cem"}],
            {"relationships_followers": download("bob", "cem")},
            [{"string_list_data": [{"href": "https://www.instagram.com/bob/"}]}, "cem"],
        ],
    )
    def test_forms(self, folder: Folder, content: Any) -> None:
        folder.json("ann/followers.json.xz", content)
        assert pairs(folder) == {("bob", "ann"), ("cem", "ann")}

    def test_the_profile_of_a_user_named_as_a_list_is_a_profile(self, folder: Folder) -> None:
        folder.profile("followers", 12)
        [event] = events_of(folder.path)
        assert event["data"]["user_id"] == "followers"
