"""A folder as Instaloader writes it, invented from its documented format."""

import json
import lzma
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingest.instaloader.crawl import Crawl
from ingest.instaloader.inventory import Inventory

SAVED = 1_780_000_000
"""Seconds since 1970 at which all files were saved."""

PUBLISHED = 1_700_000_000
PUBLISHED_TIME = "2023-11-14T22:13:20.000000Z"
SAVED_TIME = "2026-05-28T20:26:40.000000Z"


@dataclass(frozen=True)
class Folder:
    """Writes what Instaloader writes; every file bears the same modification time."""

    path: Path

    def text(self, name: str, content: str | bytes = "x") -> Path:
        """Any file."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        os.utime(path, (SAVED, SAVED))
        return path

    def json(self, name: str, value: Any) -> Path:
        """A JSON file, compressed where its name ends in .xz."""
        if name.endswith(".xz"):
            content = json.dumps(value, separators=(",", ":")).encode()
            return self.text(name, lzma.compress(content, check=lzma.CHECK_NONE))
        return self.text(name, json.dumps(value, indent=4, sort_keys=True))

    def structure(self, name: str, node_type: str, node: Any) -> Path:
        """The metadata of a structure."""
        origin = {"version": "4.15.1", "node_type": node_type}
        return self.json(name, {"node": node, "instaloader": origin})

    def post(self, name: str, **node: Any) -> Path:
        """The metadata of a post; `node` adds to it, and None takes away."""
        return self.structure(name, "Post", without_none(web_post() | node))

    def profile(self, username: str, user_id: int, **node: Any) -> Path:
        """The metadata of a profile, in its folder."""
        profile = without_none(web_profile(username, user_id) | node)
        name = f"{username}/{username}_{user_id}.json.xz"
        return self.structure(name, "Profile", profile)


def web_post() -> dict[str, Any]:
    """A post of the web API."""
    return {
        "__typename": "GraphImage",
        "id": "3000000000000000001",
        "shortcode": "CxY_1-a",
        "taken_at_timestamp": PUBLISHED,
        "owner": {"id": "1", "username": "Ann"},
        "is_video": False,
        "display_url": "https://example.org/picture.jpg?se=7",
        "edge_media_to_caption": {"edges": [{"node": {"text": "Oil #Light by @Bob."}}]},
        "edge_media_preview_like": {"count": 5, "edges": []},
        "edge_media_to_comment": {"count": 2},
    }


def app_post() -> dict[str, Any]:
    """The same post as Instaloader makes it of the app's API."""
    media = {
        "pk": 3000000000000000001,
        "code": "CxY_1-a",
        "media_type": 1,
        "taken_at": PUBLISHED,
        "caption": {"pk": "18", "text": "Oil #Light by @Bob.", "created_at": PUBLISHED},
        "like_count": 5,
        "comment_count": 2,
        "user": {"pk": 1, "username": "ann"},
        "usertags": {"in": []},
    }
    return {
        "shortcode": media["code"],
        "id": media["pk"],
        "__typename": "GraphImage",
        "is_video": False,
        "date": PUBLISHED,
        "caption": "Oil #Light by @Bob.",
        "edge_media_preview_like": {"count": 5},
        "comments": 2,
        "owner": {"id": 1, "username": "ann", "iphone_struct": media["user"]},
        "iphone_struct": media,
    }


def web_profile(username: str, user_id: int) -> dict[str, Any]:
    """A profile of the web API."""
    return {
        "id": str(user_id),
        "username": username,
        "full_name": username.title(),
        "biography": "Paints",
        "edge_followed_by": {"count": 30},
        "edge_follow": {"count": 20},
        "is_verified": False,
        "is_private": False,
    }


def download(*names: str, timestamp: int = PUBLISHED) -> list[dict[str, Any]]:
    """Entries of a list of followers in a data download of Instagram."""
    return [
        {
            "title": "",
            "media_list_data": [],
            "string_list_data": [
                {
                    "href": f"https://www.instagram.com/{name}",
                    "value": name,
                    "timestamp": timestamp,
                }
            ],
        }
        for name in names
    ]


def without_none(node: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in node.items() if value is not None}


def crawl_of(folder: Path, image_base: Path | None = None) -> Crawl:
    """The crawl of a folder."""
    return Crawl(Inventory.of(folder), image_base or folder)


def lines_of(crawl: Crawl) -> list[bytes]:
    """The lines of all its events."""
    return [line for events in crawl.events() for line in events.lines]


def events_of(folder: Path) -> list[dict[str, Any]]:
    """All events of a folder."""
    return [json.loads(line) for line in lines_of(crawl_of(folder))]


def follows(events: list[dict[str, Any]]) -> Iterator[tuple[str, str, str]]:
    """Follower, followee and time of each follow."""
    for event in events:
        if event["type"] == "follow.created":
            yield event["data"]["follower_id"], event["data"]["followee_id"], event["time"]
