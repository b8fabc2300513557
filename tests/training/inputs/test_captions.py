import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foundation import durable_files
from graphdb.facts import Batch, PostDeletion, UserDeletion
from graphdb.snapshot.snapshot import Snapshot, newest_snapshot, take_snapshot
from graphdb.store import Post, Profile
from tests.graphdb.made_facts import post, profile
from tests.graphdb.oracle import GraphOracle, Memory
from training.errors import PostInputsUnusable
from training.inputs import captions
from training.inputs.captions import PinnedTexts, open_texts, pin_texts, texts_folder

HOSTILE = [
    "",
    " ",
    "\n\r\n\t",
    "a,b\"'\\",
    "é e\u0301",
    "👩‍👩‍👧‍👦",
    "\u202eabc\ufeff",
    "\x01\x7f\uffff",
    "x" * 65_536,
]
POSTS = {f"p{number}": text for number, text in enumerate(HOSTILE)}
AUTHORS = ("bob", "ann", "zoë")


class CountingStore(GraphOracle):
    """Counts what is read, and lets something happen before each read."""

    reads = 0
    before: Callable[[int], object] = staticmethod(lambda reads: None)

    def posts(self, post_ids: Sequence[str]) -> list[Post]:
        self.hear()
        return super().posts(post_ids)

    def profiles(self, user_ids: Sequence[str]) -> list[Profile]:
        self.hear()
        return super().profiles(user_ids)

    def hear(self) -> None:
        self.reads += 1
        self.before(self.reads)


def store_of(texts: dict[str, str]) -> CountingStore:
    """Posts of three authors by turns; every other one has an image."""
    store = CountingStore(Memory(graph_id="g1"))
    posts = [
        post(post_id, AUTHORS[row % 3], row, caption=text, image=f"{row}é.jpg" if row % 2 else None)
        for row, (post_id, text) in enumerate(texts.items())
    ]
    biographies = zip(AUTHORS, ("paints\n", None, ""), strict=True)
    profiles = [profile(user_id, 1, biography=biography) for user_id, biography in biographies]
    store.apply(Batch(profiles=profiles, posts=posts))
    return store


@pytest.fixture
def store() -> CountingStore:
    return store_of(POSTS)


@pytest.fixture
def snapshot(store: CountingStore, tmp_path: Path) -> Snapshot:
    taken = take_snapshot(store, tmp_path)
    store.reads = 0
    return taken


@pytest.fixture(autouse=True)
def pages_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captions, "PAGE", 2)


def contents(texts: PinnedTexts) -> tuple[list[str], list[str], list[str]]:
    return list(texts.captions), list(texts.images), list(texts.biographies)


def edit(store: GraphOracle) -> None:
    """Change every text there is, and delete a post."""
    store.apply(
        Batch(
            profiles=[profile(user_id, 90, biography="changed") for user_id in AUTHORS],
            posts=[post(post_id, AUTHORS[0], 90, caption="changed") for post_id in POSTS],
            post_deletions=[PostDeletion(post_id="p3", time=99)],
        )
    )


def left_beside(snapshot: Snapshot) -> list[str]:
    return sorted(each.name for each in snapshot.path.parent.iterdir())


def test_texts_are_those_of_the_graph_in_the_order_of_the_snapshot(
    store: CountingStore, snapshot: Snapshot
) -> None:
    texts = pin_texts(store, snapshot)
    found = {each.post_id: each for each in store.posts(list(POSTS))}
    assert list(texts.captions) == [found[each].caption for each in snapshot.post_ids]
    assert list(texts.images) == [found[each].image or "" for each in snapshot.post_ids]
    biographies = dict(zip(snapshot.user_ids, texts.biographies, strict=True))
    assert biographies == {"bob": "paints\n", "ann": "", "zoë": ""}


@settings(max_examples=20)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))))
def test_any_text_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str]
) -> None:
    store = store_of({f"p{number:03}": text for number, text in enumerate(texts)})
    taken = take_snapshot(store, tmp_path_factory.mktemp("texts"))
    pinned = dict(zip(taken.post_ids, pin_texts(store, taken).captions, strict=True))
    assert [pinned[f"p{number:03}"] for number in range(len(texts))] == texts


def test_a_column_is_read_in_pages_and_as_often_as_wanted(
    store: CountingStore, snapshot: Snapshot
) -> None:
    column = pin_texts(store, snapshot).captions
    assert [len(page) for page in column.pages()] == [2, 2, 2, 2, 1]
    assert [text for page in column.pages() for text in page] == list(column) == list(column)
    assert len(column) == 9
    assert "x" * 65_536 in column
    assert "y" not in column


def test_one_pass_reads_each_page_once_and_nothing_is_read_after_it(
    store: CountingStore, snapshot: Snapshot
) -> None:
    counted: list[tuple[int, int]] = []
    first = pin_texts(store, snapshot, progress=lambda *counts: counted.append(counts))
    pages_of_posts, pages_of_users = 5, 2
    assert store.reads == pages_of_posts + pages_of_users
    assert counted == [(done, 12) for done in (2, 4, 6, 8, 9, 11, 12)]
    before = contents(first)
    edit(store)
    again = pin_texts(store, snapshot, progress=lambda *counts: counted.append(counts))
    assert contents(again) == contents(open_texts(snapshot)) == contents(first) == before
    assert store.reads == len(counted) == 7
    assert again.posts_digest == first.posts_digest


def test_what_was_deleted_since_the_snapshot_is_empty(
    store: CountingStore, snapshot: Snapshot
) -> None:
    store.apply(
        Batch(
            post_deletions=[PostDeletion(post_id="p5", time=99)],
            user_deletions=[UserDeletion(user_id="bob", time=99)],
        )
    )
    texts = pin_texts(store, snapshot)
    post_ids, user_ids = list(snapshot.post_ids), list(snapshot.user_ids)
    gone = {"p5", "p0", "p3", "p6"}
    for row, (caption, image) in enumerate(zip(texts.captions, texts.images, strict=True)):
        has_image = int(post_ids[row][1:]) % 2 == 1
        assert caption == ("" if post_ids[row] in gone else POSTS[post_ids[row]])
        assert bool(image) == (has_image and post_ids[row] not in gone)
    assert list(texts.biographies)[user_ids.index("bob")] == ""


def test_without_posts_there_are_no_texts(tmp_path: Path) -> None:
    store = GraphOracle()
    store.apply(Batch(profiles=[profile("ann", 1)]))
    texts = pin_texts(store, take_snapshot(store, tmp_path))
    assert contents(texts) == ([], [], [""])
    assert list(texts.captions.pages()) == []


def test_a_snapshot_of_other_texts_has_another_digest(
    store: CountingStore, snapshot: Snapshot, tmp_path: Path
) -> None:
    first = pin_texts(store, snapshot)
    edit(store)
    later = take_snapshot(store, tmp_path)
    assert pin_texts(store, later).posts_digest != first.posts_digest
    newest = newest_snapshot(tmp_path, "g1")
    assert newest is not None
    assert newest.path == later.path


def test_a_pass_that_fails_leaves_nothing(store: CountingStore, snapshot: Snapshot) -> None:
    def fail(reads: int) -> None:
        if reads == 4:
            raise RuntimeError("gone")

    store.before = fail
    with pytest.raises(RuntimeError, match="gone"):
        pin_texts(store, snapshot)
    assert left_beside(snapshot) == [".lock", "1"]
    with pytest.raises(PostInputsUnusable, match="missing or damaged"):
        open_texts(snapshot)
    store.before = lambda reads: None
    assert len(list(pin_texts(store, snapshot).captions)) == 9


def killed_at(moment: int, work: Callable[[Callable[[], None]], object]) -> bool:
    """Run `work` in a child that SIGKILL ends at the n-th tick or durable step; whether it did."""
    child = os.fork()
    if child == 0:
        left = moment

        def tick() -> None:
            nonlocal left
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)

        sync, rename = os.fsync, Path.rename
        os.fsync = lambda *arguments: (tick(), sync(*arguments))[1]
        Path.rename = lambda *arguments: (tick(), rename(*arguments))[1]
        work(tick)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert status in (0, signal.SIGKILL)
    return status == signal.SIGKILL


def test_killed_at_any_moment_the_texts_are_whole_or_read_again(tmp_path: Path) -> None:
    moment, kept = 0, set()
    killed = True
    while killed:
        moment += 1
        store = store_of(POSTS)
        taken = take_snapshot(store, tmp_path / str(moment))

        def work(
            tick: Callable[[], None], store: CountingStore = store, taken: Snapshot = taken
        ) -> None:
            store.before = lambda reads: tick()
            pin_texts(store, taken)

        killed = killed_at(moment, work)
        is_whole = texts_folder(taken.path).exists()
        kept.add(is_whole)
        edit(store)
        captions = set(pin_texts(store, taken).captions)
        assert captions == (set(POSTS.values()) if is_whole else {"changed", ""})
        assert left_beside(taken) == [".lock", "1", "1.texts"]
    assert moment > 10
    assert kept == {True, False}


def test_of_two_at_once_one_reads_and_both_have_its_texts(
    store: CountingStore, snapshot: Snapshot
) -> None:
    is_reading, found = threading.Event(), []

    def wait(reads: int) -> None:
        is_reading.set()
        time.sleep(0.02)

    def pin(store: CountingStore) -> None:
        found.append(contents(pin_texts(store, snapshot)))

    store.before = wait
    other = store_of(dict.fromkeys(POSTS, "other"))
    threads = [threading.Thread(target=pin, args=(each,)) for each in (store, other)]
    threads[0].start()
    assert is_reading.wait(10)
    threads[1].start()
    for thread in threads:
        thread.join()
    assert found[0] == found[1]
    assert set(found[0][0]) == set(POSTS.values())
    assert other.reads == 0


def test_damaged_texts_are_one_error_with_the_remedy(
    store: CountingStore, snapshot: Snapshot
) -> None:
    path = pin_texts(store, snapshot).captions.path
    whole = path.read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    for damaged in (flipped, whole[:-1], b""):
        path.write_bytes(damaged)
        with pytest.raises(PostInputsUnusable, match=r"1\.texts are missing or damaged: delete"):
            open_texts(snapshot)
    path.write_bytes(whole)
    texts = open_texts(snapshot)
    path.unlink()
    with pytest.raises(PostInputsUnusable, match="begins a new run"):
        list(texts.captions)
    with pytest.raises(PostInputsUnusable, match="begins a new run"):
        open_texts(snapshot)


def test_texts_of_another_snapshot_are_refused(
    store: CountingStore, snapshot: Snapshot, tmp_path: Path
) -> None:
    pin_texts(store, snapshot)
    store.apply(Batch(posts=[post("p99", "ann", 99)]))
    later = take_snapshot(store, tmp_path)
    texts_folder(snapshot.path).rename(texts_folder(later.path))
    with pytest.raises(PostInputsUnusable, match=r"2\.texts"):
        open_texts(later)


def test_a_folder_that_cannot_be_written_is_one_error(
    store: CountingStore, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(durable_files, "sync", full)
    with pytest.raises(PostInputsUnusable, match="No space left"):
        pin_texts(store, snapshot)
    assert left_beside(snapshot) == [".lock", "1"]
