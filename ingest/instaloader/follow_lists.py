"""The events of a list of followers or followees.

Instaloader itself writes no such list. Scripts on `Profile.get_followers()` and
`Profile.get_followees()` write `followers.txt` or `NAME_followers.txt`, a username a line, or the
same as JSON. Instagram's own data download has `followers_1.json` and `following.json`.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO
from urllib.parse import urlsplit

from ingest.instaloader.contents import BYTE_ORDER_MARK
from ingest.instaloader.event_lines import event_line, microseconds
from ingest.instaloader.names import username_of
from ingest.instaloader.schema import Document, Entry
from ingest.instaloader.skipped import NotUsed, Skipped

NOT_A_USERNAME = "entries that are not a username"
OF_ITSELF = "follows of oneself"
NO_PROFILE = "lists of follows whose profile is unknown"
MAX_LINE_BYTES = 1024

_LIST_NAME = re.compile(
    r"(?:(?P<profile>.+)_)?(?P<kind>followers|followees|following)(?:_\d{1,6})?"
    r"\.(?:txt|json|json\.xz)",
    re.IGNORECASE,
)
_DOWNLOAD = re.compile(r"instagram-(?P<profile>[\w.]+)-\d{4}-\d\d-\d\d-\w+", re.IGNORECASE)
_FOLDERS_OF_A_DOWNLOAD = {"connections", "followers_and_following"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ListName:
    """What the name of a list says: whose it is (None: its folder's), and in which direction."""

    profile: str | None
    is_of_followers: bool


def list_name(name: str) -> ListName | None:
    """The name of a file, if it is one of a list of follows."""
    match = _LIST_NAME.fullmatch(name)
    if match is None:
        return None
    profile = username_of(match["profile"]) if match["profile"] else None
    return ListName(profile=profile, is_of_followers=match["kind"].lower() == "followers")


def profile_of_folder(folder: PurePosixPath) -> str | None:
    """The username that the name of a folder is; a data download stands some folders deeper."""
    while folder.name in _FOLDERS_OF_A_DOWNLOAD:
        folder = folder.parent
    download = _DOWNLOAD.fullmatch(folder.name)
    return username_of(download["profile"] if download else folder.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowList:
    """A list of one profile; an entry without a time of its own has the time of the file."""

    path: str
    profile: str
    is_of_followers: bool
    modified: int

    def event(self, name: str, time: int | None) -> bytes:
        """`follow.created` of one entry; raises NotUsed."""
        other = username_of(name)
        if other is None:
            raise NotUsed(NOT_A_USERNAME, name)
        if other == self.profile:
            raise NotUsed(OF_ITSELF)
        follower, followee = (
            (other, self.profile) if self.is_of_followers else (self.profile, other)
        )
        return event_line(
            "follow.created",
            self.modified if time is None else time,
            follower,
            {"follower_id": follower, "followee_id": followee},
        )

    def events(self, entries: Iterable[Entry], skipped: Skipped) -> Iterator[bytes]:
        """The events of all entries, one by one; what is none of a user is skipped."""
        for entry in entries:
            for name, time in _accounts(entry):
                try:
                    yield self.event(name, time)
                except NotUsed as reason:
                    skipped.add(reason.kind, self.path, reason.detail)


def entries_of(document: Document | list[Entry]) -> list[Entry] | None:
    """The entries of a list in JSON; None when the document is not a list of follows."""
    if isinstance(document, list):
        return document
    if document.relationships_followers is not None:
        return document.relationships_followers
    return document.relationships_following


def text_entries(file: BinaryIO) -> Iterator[Entry]:
    """The lines of a text file that are not blank, with memory bounded whatever it holds."""
    first = True
    while line := file.readline(MAX_LINE_BYTES):
        if first:
            line, first = line.removeprefix(BYTE_ORDER_MARK), False
        whole = line
        while not line.endswith(b"\n") and (line := file.readline(MAX_LINE_BYTES)):
            pass  # the rest of a line that is too long to be a username
        if text := whole.decode("utf-8", "replace").strip():
            yield text


def _accounts(entry: Entry) -> Iterator[tuple[str, int | None]]:
    """The usernames of an entry, and the times at which the follows began where they are given."""
    if isinstance(entry, str):
        yield entry, None
    elif entry.string_list_data:
        for text in entry.string_list_data:
            name = text.value or entry.title or _last_part(text.href)
            yield name, microseconds(text.timestamp)
    else:
        yield entry.username or entry.title or "", None


def _last_part(address: str | None) -> str:
    """The username in the address of a profile."""
    try:
        return urlsplit(address or "").path.rstrip("/").rpartition("/")[2]
    except ValueError:
        return address or ""
