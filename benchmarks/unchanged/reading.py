"""Files as flat values: each tensor, column, JSON value or file has a name and a text.

A name is `PATH:KEY`. A number's text is exact, that of an array its type, shape and digest. Arrays
can be kept beside the values, by digest, so that a difference can be measured.
"""

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from safetensors.numpy import load_file

Values = dict[str, str]
Entries = Iterator[tuple[str, Any]]
Clean = Callable[[str], str]
"""Takes out of a text what differs between two places on a disk."""

LABELS = ("task", "method", "metric")


class Reader:
    """Reads files; `places` in texts become the words given for them, arrays go to a folder."""

    def __init__(self, arrays: Path, places: Mapping[Path, str]) -> None:
        self.arrays, self.places = arrays, places
        arrays.mkdir(parents=True, exist_ok=True)

    def clean(self, text: str) -> str:
        """A text without the places."""
        for place, word in self.places.items():
            text = text.replace(str(place), word)
        return text

    def folder(self, root: Path) -> Values:
        """All files of a folder."""
        found: Values = {}
        for path in sorted(each for each in root.rglob("*") if each.is_file()):
            found |= self.file(path, path.relative_to(root).as_posix())
        return found

    def whole_files(self, root: Path) -> Values:
        """The bytes of all files of a folder."""
        files = sorted(path for path in root.rglob("*") if path.is_file())
        return {path.relative_to(root).as_posix(): digest(path.read_bytes()) for path in files}

    def file(self, path: Path, name: str) -> Values:
        """One file, by its suffix."""
        entries = READERS.get(path.suffix, read_bytes)(path, self.clean)
        return {f"{name}:{key}": self.text(value) for key, value in entries}

    def text(self, value: Any) -> str:
        """What is compared of a value."""
        if isinstance(value, np.ndarray):
            return self.kept(value)
        return self.clean(json.dumps(value, ensure_ascii=False))

    def kept(self, array: NDArray[Any]) -> str:
        """An array's type, shape and digest, under which it is kept."""
        text = array_text(array)
        path = self.arrays / f"{text.split()[-1]}.npy"
        if not path.exists():
            np.save(path, array, allow_pickle=False)
        return text


def array_text(array: NDArray[Any]) -> str:
    """Type, shape and digest: arrays of the same bits have the same text."""
    shape = "x".join(str(size) for size in array.shape) or "scalar"
    told = f"{array.dtype} {shape}"
    return f"{told} {digest(told.encode() + np.ascontiguousarray(array).tobytes())}"


def digest(content: bytes) -> str:
    """BLAKE2b-128 in hexadecimal."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def flattened(value: Any, key: str = "") -> Entries:
    """The leaves of a JSON value by dotted key; an empty list or object is one."""
    if isinstance(value, Mapping) and value:
        for name, each in value.items():
            yield from flattened(each, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list) and value:
        for number, each in enumerate(value):
            yield from flattened(each, f"{key}.{number}{label(each)}".removeprefix("."))
    else:
        yield key, value


def label(value: Any) -> str:
    """What a figure in a list measures, for whoever reads its name."""
    if not isinstance(value, Mapping) or not all(name in value for name in LABELS):
        return ""
    return f" ({', '.join(str(value[name]) for name in LABELS)})"


def read_json(path: Path, clean: Clean) -> Entries:
    """A JSON document."""
    return flattened(json.loads(path.read_text("utf-8")))


def read_lines(path: Path, clean: Clean) -> Entries:
    """JSON lines by number."""
    for number, line in enumerate(path.read_text("utf-8").splitlines()):
        yield from flattened(json.loads(line), f"{number:06d}")


def read_tensors(path: Path, clean: Clean) -> Entries:
    """The tensors of a safetensors file."""
    yield from sorted(load_file(path).items())


def read_array(path: Path, clean: Clean) -> Entries:
    """One array."""
    yield "array", np.load(path, allow_pickle=False)


def read_parquet(path: Path, clean: Clean) -> Entries:
    """The columns of a parquet file."""
    table = pq.read_table(path)
    for name in table.column_names:
        column = table[name].to_pylist()
        yield name, f"{table.schema.field(name).type} {len(column)} {digest(repr(column).encode())}"


def read_database(path: Path, clean: Clean) -> Entries:
    """The columns of each table of a SQLite file, rows in the order of all columns."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        for [table] in sorted(tables.fetchall()):
            found = connection.execute(f'SELECT * FROM "{table}"')
            names = [each[0] for each in found.description]
            rows = sorted(found.fetchall(), key=repr)
            for place, name in enumerate(names):
                column = [row[place] for row in rows]
                yield f"{table}.{name}", f"{len(column)} {digest(clean(repr(column)).encode())}"


def read_bytes(path: Path, clean: Clean) -> Entries:
    """The digest of a file of any other kind; a file of one line may hold a place."""
    content = path.read_bytes()
    yield "bytes", digest(clean(content.decode("latin-1")).encode("latin-1"))


READERS: dict[str, Callable[[Path, Clean], Entries]] = {
    ".json": read_json,
    ".jsonl": read_lines,
    ".safetensors": read_tensors,
    ".npy": read_array,
    ".parquet": read_parquet,
    ".db": read_database,
}
