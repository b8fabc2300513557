"""A crawl: the events of a folder that Instaloader has filled, file by file."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

import msgspec

from ingest.instaloader.contents import OpenFile, json_bytes, opened
from ingest.instaloader.follow_lists import (
    NO_PROFILE,
    FollowList,
    ListName,
    entries_of,
    list_name,
    text_entries,
)
from ingest.instaloader.inventory import Inventory
from ingest.instaloader.posts import post_events
from ingest.instaloader.profiles import profile_events
from ingest.instaloader.schema import DOCUMENT, POST, PROFILE, Document, Entry, Key
from ingest.instaloader.skipped import NotUsed, Skipped

EVENTS_AT_ONCE = 1000
MALFORMED = "files that are not JSON"
UNEXPECTED = "JSON files with a field of an unexpected type"
UNKNOWN = "JSON files of another kind"
STRUCTURES = {
    "StoryItem": "stories",
    "Hashtag": "hashtags",
    "FrozenNodeIterator": "states of unfinished downloads",
}
"""What else Instaloader writes, and how it is counted."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEvents:
    """Events of one file: their lines, and the number of the first of them in the file."""

    path: Path
    first: int
    lines: list[bytes]


@dataclass(slots=True, kw_only=True)
class Counts:
    """What was read, in files; `beside` are pictures, videos and captions."""

    posts: int = 0
    profiles: int = 0
    lists: int = 0
    beside: int = 0

    def document(self) -> dict[str, int]:
        """As `mmga import --json` prints it."""
        return asdict(self)

    @property
    def is_empty(self) -> bool:
        """Whether nothing was read that events are made of."""
        return not (self.posts or self.profiles or self.lists)

    def __str__(self) -> str:
        return (
            f"{self.posts:,} posts, {self.profiles:,} profiles, {self.lists:,} lists of follows,"
            f" {self.beside:,} pictures and other files beside them"
        )


class Crawl:
    """Reads the files of a crawl one after the other; the same folder gives the same events.

    `image_base` is the folder to which paths of pictures are relative where it holds them; other
    paths are absolute. Each call of `events` begins anew, and so do the counts.
    """

    def __init__(self, inventory: Inventory, image_base: Path) -> None:
        self._inventory = inventory
        self._image_base = image_base.resolve()
        self._begin()

    def _begin(self) -> None:
        self.counts = Counts(beside=self._inventory.num_beside)
        self.skipped: Skipped = deepcopy(self._inventory.skipped)
        self.num_read = 0
        self.has_images_elsewhere = False
        """Whether a picture lies outside the folder of relative paths."""

    @property
    def folder(self) -> Path:
        """The folder that is read."""
        return self._inventory.folder

    @property
    def num_files(self) -> int:
        """How many files there are to read."""
        return self._inventory.num_files

    def events(self) -> Iterator[FileEvents]:
        """The events of all files, at most a thousand at once."""
        self._begin()
        for path in self._inventory.files():
            try:
                yield from self._file(path)
            except NotUsed as reason:
                self.skipped.add(reason.kind, path, reason.detail)
            self.num_read += 1

    def _file(self, path: str) -> Iterator[FileEvents]:
        place = self.folder / path
        first = 0
        with opened(place) as open_file:
            events = self._events(path, open_file)
            while lines := list(islice(events, EVENTS_AT_ONCE)):
                yield FileEvents(path=place, first=first, lines=lines)
                first += len(lines)

    def _events(self, path: str, open_file: OpenFile) -> Iterator[bytes]:
        name, modified = list_name(_name(path)), open_file.modified
        if name is not None and path.lower().endswith(".txt"):
            return self._list(path, name, modified, text_entries(open_file.file))
        content = json_bytes(open_file, is_compressed=path.lower().endswith(".xz"))
        document = _decoded(DOCUMENT, content, mismatch=UNKNOWN)
        entries = entries_of(document)
        if entries is not None and name is not None:
            return self._list(path, name, modified, iter(entries))
        if isinstance(document, Document):
            return iter(self._structure(document, content, path, modified))
        raise NotUsed(UNKNOWN)

    def _structure(
        self, document: Document, content: bytes, path: str, modified: int
    ) -> list[bytes]:
        origin, node = document.instaloader, document.node
        if origin is None and not node and document.shortcode is not None:
            return self._post(content, path, modified)
        kind = origin.node_type if origin is not None else None
        if not node or kind not in {"Post", "Profile", *STRUCTURES}:
            raise NotUsed(UNKNOWN)
        if kind in STRUCTURES:
            raise NotUsed(STRUCTURES[kind])
        return (self._post if kind == "Post" else self._profile)(bytes(node), path, modified)

    def _post(self, node: bytes, path: str, modified: int) -> list[bytes]:
        post = _decoded(POST, node, mismatch=UNEXPECTED)
        image = self._image(self._inventory.picture(path))
        events = post_events(post, modified, image, partial(self._owner_name, _parent(path)))
        self.counts.posts += 1
        return events

    def _profile(self, node: bytes, path: str, modified: int) -> list[bytes]:
        events = profile_events(_decoded(PROFILE, node, mismatch=UNEXPECTED), modified)
        self.counts.profiles += 1
        return events

    def _list(
        self, path: str, name: ListName, modified: int, entries: Iterator[Entry]
    ) -> Iterator[bytes]:
        profile = name.profile or self._inventory.profile_of(_parent(path))
        if profile is None:
            raise NotUsed(NO_PROFILE)
        self.counts.lists += 1
        follows = FollowList(
            path=path, profile=profile, is_of_followers=name.is_of_followers, modified=modified
        )
        return follows.events(entries, self.skipped)

    def _owner_name(self, folder: str, user_id: Key | None) -> str | None:
        if user_id is None:
            return self._inventory.named_profile_of(folder)
        return self._inventory.username(user_id)

    def _image(self, path: str | None) -> str | None:
        if path is None:
            return None
        picture = self.folder / path
        if picture.is_relative_to(self._image_base):
            return picture.relative_to(self._image_base).as_posix()
        self.has_images_elsewhere = True
        return str(picture)


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _decoded(decoder: msgspec.json.Decoder[T], content: bytes, *, mismatch: str) -> T:
    """The value of JSON; raises NotUsed, of kind `mismatch` where a field has another type."""
    try:
        return decoder.decode(content)
    except msgspec.ValidationError as error:
        raise NotUsed(mismatch, str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotUsed(MALFORMED, str(error)) from None
