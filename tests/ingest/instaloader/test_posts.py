"""Posts as Instaloader keeps them become events."""

from typing import Any

import pytest

from ingest.instaloader.names import hashtags, mentions
from tests.ingest.instaloader.written import (
    PUBLISHED,
    PUBLISHED_TIME,
    SAVED_TIME,
    Folder,
    app_post,
    crawl_of,
    events_of,
    lines_of,
)

NAME = "ann/2023-11-14_22-13-20_UTC"
CONTENT = {
    "post_id": "CxY_1-a",
    "user_id": "ann",
    "caption": "Oil #Light by @Bob.",
    "hashtags": ["light"],
    "mentions": ["bob"],
}


def created(folder: Folder) -> dict[str, Any]:
    """The content of the only post."""
    [event] = [event for event in events_of(folder.path) if event["type"] == "post.created"]
    data: dict[str, Any] = event["data"]
    return data


@pytest.mark.parametrize("extension", [".json.xz", ".json"])
@pytest.mark.parametrize("api", ["web", "app"])
def test_content_has_the_time_of_the_post_and_counts_that_of_the_file(
    folder: Folder, extension: str, api: str
) -> None:
    if api == "web":
        folder.post(NAME + extension)
    else:
        folder.structure(NAME + extension, "Post", app_post())
    content, counts = events_of(folder.path)
    assert (content["type"], content["time"]) == ("post.created", PUBLISHED_TIME)
    assert content["data"] == CONTENT
    assert (counts["type"], counts["time"]) == ("post.engagement", SAVED_TIME)
    assert counts["data"] == {"post_id": "CxY_1-a", "like_count": 5, "comment_count": 2}
    assert content["subject"] == counts["subject"] == "ann"


def test_fields_that_only_the_app_gives_are_read_of_it(folder: Folder) -> None:
    node = {"shortcode": "CxY_1-a", "iphone_struct": app_post()["iphone_struct"]}
    folder.structure(f"{NAME}.json", "Post", node)
    content, counts = events_of(folder.path)
    assert content["data"] == CONTENT
    assert content["time"] == PUBLISHED_TIME
    assert counts["data"]["like_count"] == 5


def test_a_post_of_version_3(folder: Folder) -> None:
    folder.json(
        f"{NAME}.json",
        {"shortcode": "Bold", "date": PUBLISHED, "owner": {"username": "ann"}, "caption": "Hi"},
    )
    assert created(folder)["caption"] == "Hi"


@pytest.mark.parametrize(
    "absent",
    [
        {"edge_media_to_caption": None},
        {"edge_media_to_caption": {"edges": []}},
        {"edge_media_to_caption": None, "caption": None},
    ],
)
def test_a_caption_may_be_absent(folder: Folder, absent: dict[str, Any]) -> None:
    folder.post(f"{NAME}.json.xz", **absent)
    content = created(folder)
    assert (content["caption"], content["hashtags"], content["mentions"]) == ("", [], [])


def test_a_post_without_a_time_has_that_of_the_file(folder: Folder) -> None:
    folder.post(f"{NAME}.json.xz", taken_at_timestamp=None)
    assert events_of(folder.path)[0]["time"] == SAVED_TIME


def test_a_hidden_count_is_no_count(folder: Folder) -> None:
    folder.post(f"{NAME}.json", edge_media_preview_like={"count": -1})
    [event] = events_of(folder.path)
    assert event["data"]["comment_count"] == 2
    assert "like_count" not in event["data"]


def test_a_count_may_be_written_as_a_float(folder: Folder) -> None:
    folder.post(f"{NAME}.json", edge_media_preview_like={"count": 3.0})
    assert events_of(folder.path)[1]["data"]["like_count"] == 3


def test_tagged_users_are_mentioned(folder: Folder) -> None:
    tags = [{"node": {"user": {"id": "7", "username": name}}} for name in ("Cem", "bob")]
    folder.post(f"{NAME}.json", edge_media_to_tagged_user={"edges": tags})
    assert created(folder)["mentions"] == ["bob", "cem"]


class TestOwner:
    def test_who_is_only_an_id_is_named_by_its_profile(self, folder: Folder) -> None:
        folder.profile("cem", 42)
        folder.post("#light/a.json.xz", owner={"id": "42"})
        assert created(folder)["user_id"] == "cem"

    def test_or_by_the_id_file_of_its_folder(self, folder: Folder) -> None:
        folder.text("cem/id", "42\n")
        folder.post("cem/a.json.xz", owner={"id": 42})
        assert created(folder)["user_id"] == "cem"

    def test_after_a_change_of_name_by_the_folder(self, folder: Folder) -> None:
        folder.text("cem/id", "42\n")
        folder.structure("cem/ali_42.json.xz", "Profile", {"id": "42", "username": "ali"})
        folder.post("cem/a.json.xz", owner={"id": 42})
        assert created(folder)["user_id"] == "cem"

    def test_who_is_named_nowhere_keeps_the_id(self, folder: Folder) -> None:
        folder.post("#light/a.json.xz", owner={"id": "42"})
        assert created(folder)["user_id"] == "42"

    def test_who_is_absent_is_the_profile_of_the_folder(self, folder: Folder) -> None:
        folder.profile("cem", 42)
        folder.post("cem/a.json.xz", owner=None)
        assert created(folder)["user_id"] == "cem"

    def test_nobody_is_skipped(self, folder: Folder) -> None:
        folder.post("#light/a.json.xz", owner=None)
        crawl = crawl_of(folder.path)
        assert lines_of(crawl) == []
        assert crawl.skipped.document() == {"posts without an owner": 1}


class TestPicture:
    @pytest.mark.parametrize(
        ("beside", "expected"),
        [
            ([".jpg"], ".jpg"),
            (["_1.jpg", "_2.jpg"], "_1.jpg"),
            (["_3.webp", "_4.jpg"], "_3.webp"),
            ([".jpg", ".mp4"], ".jpg"),
            ([".mp4", ".txt"], None),
            ([], None),
        ],
    )
    def test_is_the_first_beside_the_metadata(
        self, folder: Folder, beside: list[str], expected: str | None
    ) -> None:
        folder.post(f"{NAME}.json.xz")
        for suffix in beside:
            folder.text(NAME + suffix)
        folder.text("ann/2023-11-14_22-13-21_UTC.jpg")
        image = None if expected is None else NAME + expected
        assert created(folder).get("image") == image

    def test_a_link_is_not_followed(self, folder: Folder) -> None:
        folder.post(f"{NAME}.json.xz")
        (folder.path / f"{NAME}.jpg").symlink_to(folder.text("secret.jpg"))
        assert "image" not in created(folder)

    def test_below_another_folder_has_an_absolute_path(self, folder: Folder) -> None:
        folder.post(f"{NAME}.json.xz")
        picture = folder.text(f"{NAME}.jpg")
        crawl = crawl_of(folder.path, folder.path / "elsewhere")
        assert f'"image":"{picture}"'.encode() in lines_of(crawl)[0]
        assert crawl.has_images_elsewhere


def test_hashtags_and_mentions_are_those_of_instaloader() -> None:
    assert hashtags("#Ölfarbe, #a_1 #a_1 # b c#d") == ["ölfarbe", "a_1", "d"]
    assert mentions("@Ann.b. @ann.b, (@c..d) mail@host.org x_@e") == ["ann.b", "c", "e"]


def test_the_same_text_in_two_forms_is_one(folder: Folder) -> None:
    caption = "#cafe\N{COMBINING ACUTE ACCENT}"
    folder.post(f"{NAME}.json", edge_media_to_caption=None, caption=caption)
    assert created(folder)["hashtags"] == ["caf\N{LATIN SMALL LETTER E WITH ACUTE}"]
