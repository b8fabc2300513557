"""Files and folders that appear whole or not at all, and stay once they were there.

They are written beside their place, flushed to the disk, renamed, and the folder that names them
is flushed. So whatever is killed, and on a disk that keeps what it was told to flush also when the
machine loses power, a reader finds the old content or the new.
"""

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

PARTIAL = ".partial"
"""How the name of a file or folder ends that is not whole yet, or that a kill left so."""


def write_whole(
    path: Path, write: Callable[[Path], object], *, staging: Path | None = None
) -> None:
    """Let `write` make a file in `staging`, then put it at `path`; where that fails, none stays.

    By default `staging` is the folder of `path`; another one is of the same file system.
    """
    staging = path.parent if staging is None else staging
    for folder in (staging, path.parent):
        folder.mkdir(parents=True, exist_ok=True)
    # Not the process's number: workers of several machines may share it.
    partial = staging / f"{path.name}.{secrets.token_hex(4)}{PARTIAL}"
    try:
        write(partial)
        sync(partial)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    sync(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    write_whole(path, lambda partial: partial.write_text(text, encoding="utf-8"))


def drop_partials(path: Path) -> None:
    """Remove what killed writers of a file left beside it; no other writer may be at work."""
    for left in path.parent.glob(f"{path.name}.*{PARTIAL}"):
        left.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Give a folder to fill, which then becomes `path`; where that fails, none stays.

    What killed writers left beside `path` is removed first, so the caller must hold a lock that
    excludes all writers of folders there.
    """
    for left in path.parent.glob(f".*{PARTIAL}"):
        shutil.rmtree(left)
    partial = path.with_name(f".{path.name}{PARTIAL}")
    partial.mkdir(parents=True)
    try:
        yield partial
        put_folder(partial, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def put_folder(staged: Path, path: Path) -> None:
    """Flush all that a folder holds, then rename it to `path`, on the same file system."""
    for each in staged.rglob("*"):
        sync(each)
    sync(staged)
    staged.rename(path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Wait until the bytes of a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush(file: IO[bytes] | IO[str]) -> None:
    """Wait until what was written to an open file is on the disk."""
    file.flush()
    os.fsync(file.fileno())
