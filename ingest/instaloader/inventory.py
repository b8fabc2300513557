"""The files of a crawl by name, in an order that does not depend on the disk.

They are kept in a temporary SQLite database without a name, which SQLite moves to the disk as it
grows: so memory does not grow with the number of files.
"""

import os
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Self

from ingest.errors import SourceMissing
from ingest.instaloader.contents import opened
from ingest.instaloader.follow_lists import list_name, profile_of_folder
from ingest.instaloader.names import username_of
from ingest.instaloader.schema import Key
from ingest.instaloader.skipped import NotUsed, Skipped

LINKS = "symbolic links"
HIDDEN = "hidden files and folders"
NOT_UTF8 = "names that are not UTF-8"
NOT_REGULAR = "special files"
FOLDERS = "folders that cannot be read"
OTHER = "files of another kind"
COMMENTS = "files of comments"

JSON = (".json", ".json.xz")
PICTURES = (".jpg", ".jpeg", ".png", ".webp")
OTHERS_BESIDE = (".heic", ".mp4", ".txt")
"""What else Instaloader writes beside the metadata: videos, captions and locations."""

ID_FILE = re.compile(r"id|(?P<profile>[\w.]+)_id")
MAX_ID_DIGITS = 32

_PROFILE = re.compile(r"(?P<username>[\w.]+)_(?P<user_id>\d{1,32})\.json(?:\.xz)?")
_SLIDE = re.compile(r"(?P<stem>.*)_(?P<slide>[1-9]\d?)", re.DOTALL)
_SCHEMA = """
CREATE TABLE folders (number INTEGER PRIMARY KEY, path TEXT NOT NULL);
CREATE TABLE files (path TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE pictures (
    stem TEXT NOT NULL, slide INTEGER NOT NULL, path TEXT NOT NULL, PRIMARY KEY (stem, slide, path)
) WITHOUT ROWID;
CREATE TABLE profiles (
    user_id TEXT NOT NULL, username TEXT NOT NULL, folder TEXT NOT NULL,
    PRIMARY KEY (user_id, username, folder)
) WITHOUT ROWID;
CREATE INDEX profiles_by_folder ON profiles (folder, username);
"""


class Inventory:
    """Which files to read, and which profiles their names tell of. One thread at a time uses it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.skipped = Skipped()
        self.num_files = 0
        self.num_beside = 0
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._database.executescript(_SCHEMA)

    @classmethod
    def of(cls, folder: Path) -> Self:
        """List a folder and all folders in it; raises SourceMissing."""
        if not folder.is_dir():
            raise SourceMissing(f"no crawl at {folder}: it is not a folder")
        inventory = cls(folder.resolve())
        inventory._list_all()
        return inventory

    def files(self) -> Iterator[str]:
        """The paths of the files to read, relative to the folder, in order."""
        last = ""
        while found := self._database.execute(
            "SELECT path FROM files WHERE path > ? ORDER BY path LIMIT 1000", (last,)
        ).fetchall():
            for (last,) in found:
                yield last

    def picture(self, path: str) -> str | None:
        """The picture beside the metadata of a post, the first of several; None without one.

        The picture of `NAME.json.xz` is `NAME.jpg`, those of a post of several are `NAME_1.jpg` and
        so on; a video has its cover as `NAME.jpg`.
        """
        stem = path.removesuffix(".xz").removesuffix(".json")
        row = self._database.execute(
            "SELECT path FROM pictures WHERE stem = ? ORDER BY slide, path LIMIT 1", (stem,)
        ).fetchone()
        return None if row is None else str(row[0])

    def username(self, user_id: Key) -> str | None:
        """The username of an id, where a profile tells it: after a change of name, the folder's."""
        row = self._database.execute(
            "SELECT username FROM profiles WHERE user_id = ? ORDER BY"
            " '/' || username != substr('/' || folder, -length(username) - 1), username LIMIT 1",
            (str(user_id),),
        ).fetchone()
        return None if row is None else str(row[0])

    def named_profile_of(self, folder: str) -> str | None:
        """The profile that an `id` file or the metadata of a profile in a folder names."""
        own = profile_of_folder(PurePosixPath(self.folder, folder))
        names = [
            str(name)
            for (name,) in self._database.execute(
                "SELECT DISTINCT username FROM profiles WHERE folder = ?"
                " ORDER BY username != ? LIMIT 2",
                (folder, own or ""),
            )
        ]
        return names[0] if names and (len(names) == 1 or names[0] == own) else None

    def profile_of(self, folder: str) -> str | None:
        """The profile whose folder it is, by what it holds or else by its own name.

        The folder that is imported may be that of one profile, or hold the folders of many.
        """
        if name := self.named_profile_of(folder):
            return name
        if self._holds_profiles(folder):
            return None
        return profile_of_folder(PurePosixPath(self.folder, folder))

    def close(self) -> None:
        """Forget the files."""
        self._database.close()

    def _list_all(self) -> None:
        self._database.execute("BEGIN")
        self._database.execute("INSERT INTO folders (path) VALUES ('')")
        number = 0
        while row := self._database.execute(
            "SELECT number, path FROM folders WHERE number > ? ORDER BY number LIMIT 1", (number,)
        ).fetchone():
            number, folder = row
            self._list(folder)
        self._database.execute("COMMIT")

    def _list(self, folder: str) -> None:
        try:
            with os.scandir(self.folder / folder) as entries:
                for entry in entries:
                    self._take(folder, entry)
        except OSError as error:
            if not folder:
                raise SourceMissing(
                    f"cannot read {self.folder}: {error.strerror or error}"
                ) from error
            self.skipped.add(FOLDERS, folder, error.strerror or str(error))

    def _take(self, folder: str, entry: "os.DirEntry[str]") -> None:
        path = f"{folder}/{entry.name}" if folder else entry.name
        if entry.name.startswith("."):
            self.skipped.add(HIDDEN, path)
        elif not _is_utf8(entry.name):
            self.skipped.add(NOT_UTF8, path)
        elif entry.is_symlink():
            self.skipped.add(LINKS, path)
        elif entry.is_dir(follow_symlinks=False):
            self._database.execute("INSERT INTO folders (path) VALUES (?)", (path,))
        elif entry.is_file(follow_symlinks=False):
            self._take_file(folder, entry.name, path)
        else:
            self.skipped.add(NOT_REGULAR, path)

    def _take_file(self, folder: str, name: str, path: str) -> None:
        if name.endswith(JSON):
            if name.endswith(tuple(f"_comments{extension}" for extension in JSON)):
                self.skipped.add(COMMENTS, path)
                return
            is_list = list_name(name) is not None
            if not is_list and (match := _PROFILE.fullmatch(name)):
                self._take_profile(match["user_id"], match["username"], folder)
            self._take_to_read(path)
        elif list_name(name) is not None:
            self._take_to_read(path)
        elif name.lower().endswith(PICTURES):
            self.num_beside += 1
            self._take_picture(path)
        elif name.lower().endswith(OTHERS_BESIDE):
            self.num_beside += 1
        elif match := ID_FILE.fullmatch(name):
            self.num_beside += 1
            self._take_id_file(folder, path, match["profile"])
        else:
            self.skipped.add(OTHER, path)

    def _take_to_read(self, path: str) -> None:
        self.num_files += 1
        self._database.execute("INSERT INTO files VALUES (?)", (path,))

    def _take_picture(self, path: str) -> None:
        """`NAME_2.jpg` is the second picture of NAME, or the only one of `NAME_2`."""
        stem = path.rpartition(".")[0]
        slides = [(stem, 0, path)]
        if match := _SLIDE.fullmatch(stem):
            slides.append((match["stem"], int(match["slide"]), path))
        self._database.executemany("INSERT INTO pictures VALUES (?, ?, ?)", slides)

    def _take_id_file(self, folder: str, path: str, profile: str | None) -> None:
        """An `id` file holds the id of the profile whose folder it stands in."""
        username = profile or profile_of_folder(PurePosixPath(self.folder, folder))
        try:
            with opened(self.folder / path) as open_file:
                text = open_file.file.read(MAX_ID_DIGITS + 2).strip()
        except NotUsed as reason:
            self.skipped.add(reason.kind, path, reason.detail)
            return
        if username and text.isdigit() and len(text) <= MAX_ID_DIGITS:
            self._take_profile(text.decode(), username, folder)

    def _take_profile(self, user_id: str, username: str, folder: str) -> None:
        name = username_of(username)
        if name is not None:
            self._database.execute(
                "INSERT OR IGNORE INTO profiles VALUES (?, ?, ?)", (user_id, name, folder)
            )

    def _holds_profiles(self, folder: str) -> bool:
        """Whether a folder holds more than one profile, or is the top of a crawl of several."""
        found = self._database.execute("SELECT 1 FROM profiles WHERE folder = ?", (folder,))
        return found.fetchone() is not None or (not folder and self._has_folders())

    def _has_folders(self) -> bool:
        found = self._database.execute("SELECT 1 FROM folders WHERE path != ''")
        return found.fetchone() is not None


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
