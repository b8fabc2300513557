"""Texts of a snapshot's posts and users, read from the graph in one pass and pinned beside it.

P posts and N users in the order of the snapshot.

    GRAPH_ID/VERSION/                       the snapshot
    GRAPH_ID/VERSION.texts/posts.parquet    caption and image reference of each post
    GRAPH_ID/VERSION.texts/users.parquet    biography of each user

A snapshot holds ids and no texts. A run reads texts only from these files, so events that arrive
during the run do not change it. A missing text is empty, as are the texts of posts and users that
were deleted between the snapshot and the read.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock

from foundation.durable_files import whole_folder
from graphdb.errors import GraphError
from graphdb.snapshot.files import read_manifest, seal
from graphdb.snapshot.id_column import IdColumn
from graphdb.snapshot.snapshot import Snapshot
from graphdb.store import GraphStore
from training.errors import PostInputsUnusable

PAGE = 4096
POSTS, USERS = "posts.parquet", "users.parquet"
CAPTION, IMAGE, BIOGRAPHY = "caption", "image", "biography"

Texts = Mapping[str, list[str]]
"""Columns of texts by name."""

Progress = Callable[[int, int], None]
"""Called with the number of posts and users read so far and of all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextColumn(Collection[str]):
    """A column of a parquet file; each iteration reads the file again, a page at a time."""

    path: Path
    name: str
    num_rows: int

    def __len__(self) -> int:
        return self.num_rows

    def __iter__(self) -> Iterator[str]:
        for page in self.pages():
            yield from page

    def __contains__(self, text: object) -> bool:
        return any(text == each for each in self)

    def pages(self) -> Iterator[list[str]]:
        """The texts in lists of up to PAGE. Raises PostInputsUnusable."""
        try:
            with pq.ParquetFile(self.path) as file:
                for page in file.iter_batches(PAGE, columns=[self.name], use_threads=False):
                    yield page.column(self.name).to_pylist()
        except (OSError, pa.ArrowException) as error:
            raise unusable(self.path.parent) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedTexts:
    """Captions (P,), images (P,) and biographies (N,) of a snapshot of the graph `graph_id`.

    Images are as `graphdb.image_reference` has them, empty where there is none. `posts_digest` is
    equal where captions and images are.
    """

    captions: TextColumn
    images: TextColumn
    biographies: TextColumn
    posts_digest: str
    graph_id: str


def pin_texts(
    store: GraphStore, snapshot: Snapshot, *, progress: Progress | None = None
) -> PinnedTexts:
    """Read the texts of a snapshot from the graph, or open those that were read before.

    One process reads at a time; others wait and use its texts. The folder appears whole or not at
    all, whenever the process dies. Raises PostInputsUnusable.
    """
    folder = texts_folder(snapshot.path)
    try:
        # The lock under which snapshots of this graph are written.
        with FileLock(folder.parent / ".lock", poll_interval=0.05):
            if not folder.exists():
                with whole_folder(folder) as staging:
                    write_texts(store, snapshot, staging, progress)
                    seal(staging, identity(snapshot))
    except OSError as error:
        raise PostInputsUnusable(
            f"{folder} cannot be written ({error}): make it writable, and free space"
        ) from error
    return open_texts(snapshot)


def open_texts(snapshot: Snapshot) -> PinnedTexts:
    """The pinned texts of a snapshot; lengths and checksums are compared.

    Raises PostInputsUnusable.
    """
    folder = texts_folder(snapshot.path)
    try:
        manifest = read_manifest(folder, verify=True)
    except GraphError as error:
        raise unusable(folder) from error
    if not identity(snapshot).items() <= manifest.items():
        raise unusable(folder)
    posts = partial(TextColumn, path=folder / POSTS, num_rows=snapshot.num_posts)
    users = partial(TextColumn, path=folder / USERS, num_rows=snapshot.num_users)
    return PinnedTexts(
        captions=posts(name=CAPTION),
        images=posts(name=IMAGE),
        biographies=users(name=BIOGRAPHY),
        posts_digest=manifest["files"][POSTS]["blake2b"],
        graph_id=snapshot.graph_id,
    )


def identity(snapshot: Snapshot) -> dict[str, str | int]:
    """The entries of the manifest that identify the snapshot."""
    return {
        "graph_id": snapshot.graph_id,
        "version": snapshot.version,
        "num_posts": snapshot.num_posts,
        "num_users": snapshot.num_users,
    }


def texts_folder(snapshot: Path) -> Path:
    """The folder of the pinned texts of a snapshot."""
    return snapshot.with_name(f"{snapshot.name}.texts")


def write_texts(
    store: GraphStore, snapshot: Snapshot, folder: Path, progress: Progress | None
) -> None:
    """Read page by page into the files of a folder."""
    num_posts, total = snapshot.num_posts, snapshot.num_posts + snapshot.num_users

    def count(done: int) -> None:
        if progress is not None:
            progress(done, total)

    posts = pages_of(snapshot.post_ids, partial(texts_of_posts, store), count)
    write_pages(folder / POSTS, (CAPTION, IMAGE), posts)
    users = pages_of(
        snapshot.user_ids, partial(texts_of_users, store), lambda done: count(num_posts + done)
    )
    write_pages(folder / USERS, (BIOGRAPHY,), users)


def texts_of_posts(store: GraphStore, post_ids: list[str]) -> Texts:
    """Captions and image references of posts."""
    found = {post.post_id: post for post in store.posts(post_ids)}
    posts = [found.get(post_id) for post_id in post_ids]
    return {
        CAPTION: [post.caption if post else "" for post in posts],
        IMAGE: [(post.image if post else None) or "" for post in posts],
    }


def texts_of_users(store: GraphStore, user_ids: list[str]) -> Texts:
    """Biographies of users."""
    found = {profile.user_id: profile.biography for profile in store.profiles(user_ids)}
    return {BIOGRAPHY: [found.get(user_id) or "" for user_id in user_ids]}


def pages_of(
    ids: IdColumn, texts_of: Callable[[list[str]], Texts], progress: Callable[[int], None]
) -> Iterator[Texts]:
    """The texts of all ids, PAGE ids at a time."""
    for start in range(0, len(ids), PAGE):
        page = ids[start : start + PAGE]
        yield texts_of(page)
        progress(start + len(page))


def write_pages(path: Path, columns: Sequence[str], pages: Iterable[Texts]) -> None:
    """Write a parquet file of these columns, a row group for each page."""
    schema = pa.schema([pa.field(name, pa.string(), nullable=False) for name in columns])
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for page in pages:
            writer.write_table(pa.table(page, schema=schema))


def unusable(folder: Path) -> PostInputsUnusable:
    """The error of texts that cannot be read."""
    return PostInputsUnusable(
        f"the texts {folder} are missing or damaged: delete that folder and run `mmga train` "
        "again, which reads them from the graph and begins a new run"
    )
