"""A folder with good, bad and unknown files."""

import lzma
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ingest.errors import SourceMissing
from ingest.events.decoding import decode
from ingest.instaloader import contents
from ingest.instaloader.inventory import Inventory
from tests.graphdb.oracle import GraphOracle
from tests.ingest.instaloader.written import Folder, crawl_of, download, lines_of, web_post
from tests.ingest.made import NOW


@pytest.fixture
def whole(folder: Folder) -> Folder:
    """Two profiles, three posts and two lists."""
    folder.profile("ann", 1)
    folder.profile("bob", 2)
    for number, owner in enumerate(["ann", "ann", "bob"]):
        folder.post(f"{owner}/{number}.json.xz", shortcode=f"C{number}", owner={"username": owner})
        folder.text(f"{owner}/{number}.jpg")
    folder.text("ann/followers.txt", "bob\ncem\n")
    folder.json("bob/following.json", {"relationships_following": download("ann")})
    return folder


def test_every_event_is_valid_and_the_state_is_the_one_stated(whole: Folder) -> None:
    crawl = crawl_of(whole.path)
    decoded = decode(lines_of(crawl), NOW)
    assert decoded.rejected == []
    oracle = GraphOracle()
    oracle.apply(decoded.batch())
    counts = oracle.counts()
    assert (counts.users, counts.posts, counts.follows) == (3, 3, 2)
    assert str(crawl.counts) == (
        "3 posts, 2 profiles, 2 lists of follows, 3 pictures and other files beside them"
    )
    assert crawl.skipped.num == 0


def test_the_events_depend_on_neither_the_order_nor_the_place_of_the_files(
    whole: Folder, tmp_path: Path
) -> None:
    paths = [path for path in whole.path.rglob("*") if path.is_file()]
    random.Random(3).shuffle(paths)
    for path in paths:
        moved = tmp_path / "moved" / path.relative_to(whole.path)
        moved.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, moved)
    expected = lines_of(crawl_of(whole.path))
    assert lines_of(crawl_of(tmp_path / "moved")) == expected
    crawl = crawl_of(whole.path)
    assert lines_of(crawl) == lines_of(crawl) == expected


def test_other_content_is_another_event(folder: Folder) -> None:
    folder.profile("ann", 1)
    [before] = lines_of(crawl_of(folder.path))
    folder.profile("ann", 1, biography="new")
    [after] = lines_of(crawl_of(folder.path))
    assert decode([before], NOW).profiles[0].tie != decode([after], NOW).profiles[0].tie


def test_the_inventory_of_many_files_is_read_in_order(folder: Folder) -> None:
    names = [f"{letter}/{number}.json" for letter in "ab" for number in range(1200)]
    for name in names:
        (folder.path / name).parent.mkdir(exist_ok=True)
        (folder.path / name).touch()
    inventory = Inventory.of(folder.path)
    assert list(inventory.files()) == sorted(names)
    assert inventory.num_files == len(names)
    inventory.close()


def test_reading_is_one_file_at_a_time(whole: Folder) -> None:
    crawl = crawl_of(whole.path)
    events = crawl.events()
    next(events)
    assert crawl.num_read == 0
    next(events)
    assert crawl.num_read == 1
    assert crawl.num_files == 7


def link(path: Path) -> None:
    path.symlink_to(path.parent / "ann_1.json.xz")


def link_to_folder(path: Path) -> None:
    path.symlink_to(path.parent, target_is_directory=True)


def bomb() -> bytes:
    return lzma.compress(bytes(2 << 20), preset=0)


def content(data: bytes | str) -> Callable[[Path], None]:
    return lambda path: Folder(path.parent).text(path.name, data) and None


def surrogate(path: Path) -> None:
    Path(os.fsdecode(os.fsencode(path) + b"\xff.json")).touch()


def structure(node_type: str) -> Callable[[Path], None]:
    return lambda path: Folder(path.parent).structure(path.name, node_type, {"id": 1}) and None


def node(**changes: object) -> Callable[[Path], None]:
    post = web_post() | changes
    return lambda path: Folder(path.parent).structure(path.name, "Post", post) and None


XZ = lzma.compress(b"{}")
DEEP = b'{"node": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"

BAD: list[tuple[str, Callable[[Path], None], str]] = [
    ("a.json", content(""), "files that are not JSON"),
    ("a.json", content("{"), "files that are not JSON"),
    ("a.json", content(b"\xff\xfe{\x00}\x00"), "files that are not JSON"),
    ("a.json", content(DEEP), "files that are not JSON"),
    ("a.json", content('{"title": "\\ud83d"}'), "files that are not JSON"),
    ("a.json", content(b'{"shortcode": "\xff"}'), "files that are not JSON"),
    ("a.json", content("[]"), "JSON files of another kind"),
    ("a.json", content("[1, 2]"), "JSON files of another kind"),
    ("a.json", content("3"), "JSON files of another kind"),
    ("a.json", content('{"node": {}}'), "JSON files of another kind"),
    ("a.json", content('{"node": null, "instaloader": {}}'), "JSON files of another kind"),
    ("a.json", content('{"instaloader": {"node_type": 3}}'), "JSON files of another kind"),
    ("a.json", structure("Reel"), "JSON files of another kind"),
    ("a.json", structure("StoryItem"), "stories"),
    ("#a.json.xz", structure("Hashtag"), "hashtags"),
    ("a_iterator_x.json.xz", structure("FrozenNodeIterator"), "states of unfinished downloads"),
    ("a_comments.json", content("[]"), "files of comments"),
    ("a.json", node(owner="ann"), "JSON files with a field of an unexpected type"),
    ("a.json", node(taken_at_timestamp="2020"), "JSON files with a field of an unexpected type"),
    ("a.json", node(taken_at_timestamp=1e15), "times out of range"),
    ("a.json", node(shortcode=""), "posts without a shortcode"),
    ("a.json.xz", content("{}"), "damaged .xz files"),
    ("a.json.xz", content(XZ[:-9]), "damaged .xz files"),
    ("a.json.xz", content(XZ + XZ), "damaged .xz files"),
    ("a.json.xz", content(bomb()), "files of more than 64 MiB of JSON"),
    ("a.json", content(b" " * (2 << 20)), "files of more than 64 MiB of JSON"),
    ("a.json", link, "symbolic links"),
    ("up", link_to_folder, "symbolic links"),
    ("a.json", os.mkfifo, "special files"),
    ("a", surrogate, "names that are not UTF-8"),
    (".a.json", content("{}"), "hidden files and folders"),
    (".git", os.mkdir, "hidden files and folders"),
    ("a.csv", content("x"), "files of another kind"),
]


@pytest.mark.parametrize(
    ("name", "make", "kind"), BAD, ids=[f"{kind}-{number}" for number, (*_, kind) in enumerate(BAD)]
)
def test_one_bad_file_is_counted_and_costs_nothing_else(
    folder: Folder,
    name: str,
    make: Callable[[Path], None],
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(contents, "MAX_JSON_BYTES", 1 << 20)
    folder.profile("ann", 1)
    folder.post("ann/z.json.xz")
    make(folder.path / "ann" / name)
    crawl = crawl_of(folder.path)
    assert len(lines_of(crawl)) == 3
    assert crawl.skipped.document() == {kind: 1}
    [line] = crawl.skipped.lines()
    assert line.startswith(f"skipped: 1 {kind} (first: ann/")
    assert line.isprintable()


def test_decompression_is_bounded_in_memory(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.profile("ann", 1)
    monkeypatch.setattr(contents, "MAX_XZ_MEMORY_BYTES", 1 << 20)
    crawl = crawl_of(folder.path)
    assert lines_of(crawl) == []
    assert crawl.skipped.document() == {"damaged .xz files": 1}


def test_a_file_that_vanishes_is_counted(whole: Folder) -> None:
    crawl = crawl_of(whole.path)
    (whole.path / "ann/0.json.xz").unlink()
    lines_of(crawl)
    assert crawl.skipped.document() == {"files that cannot be read": 1}


def test_the_first_of_each_kind_is_named(folder: Folder) -> None:
    for name in ("c", "a", "b"):
        folder.text(f"{name}.json", "{")
    crawl = crawl_of(folder.path)
    assert lines_of(crawl) == []
    assert crawl.skipped.lines() == [
        "skipped: 3 files that are not JSON (first: a.json: Input data was truncated)"
    ]


def test_a_folder_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceMissing, match="it is not a folder"):
        Inventory.of(tmp_path / "nothing")
