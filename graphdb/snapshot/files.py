"""Files of a snapshot, with checksums.

`manifest.json` holds the length and the BLAKE2b of every other file.
"""

import json
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foundation.format_version import SNAPSHOT
from graphdb.errors import FormatRefused, SnapshotCorrupt, SnapshotMissing

MANIFEST = "manifest"

_BLOCK = 1 << 22


def write_array(folder: Path, name: str, array: NDArray[Any]) -> None:
    """Write one array as `name.npy`."""
    with (folder / f"{name}.npy").open("wb") as file:
        np.save(file, array, allow_pickle=False)


def write_json(folder: Path, name: str, document: object) -> None:
    """Write one JSON document as `name.json`."""
    with (folder / f"{name}.json").open("w", encoding="utf-8") as file:
        json.dump(document, file, ensure_ascii=False, separators=(",", ":"))


def seal(folder: Path, facts: Mapping[str, object]) -> None:
    """Write the manifest: this metadata, and length and checksum of every file in the folder."""
    files = {
        path.name: {"bytes": path.stat().st_size, "blake2b": _checksum(path)}
        for path in sorted(folder.iterdir())
    }
    write_json(folder, MANIFEST, {"format_version": SNAPSHOT.version, **facts, "files": files})


def read_manifest(folder: Path, *, verify: bool) -> dict[str, Any]:
    """The manifest, after the length (with `verify` also the checksum) of each file was compared.

    Raises SnapshotMissing without a manifest, FormatRefused, SnapshotCorrupt.
    """
    try:
        manifest: dict[str, Any] = read_json(folder, MANIFEST)
    except FileNotFoundError as error:
        raise SnapshotMissing(f"no snapshot at {folder}: take one first") from error
    except ValueError as error:
        raise _corrupt(folder / f"{MANIFEST}.json", "is not JSON") from error
    if refusal := SNAPSHOT.refusal(folder, manifest["format_version"]):
        raise FormatRefused(refusal)
    for name, expected in manifest["files"].items():
        _compare(folder / name, expected, verify=verify)
    return manifest


def read_array(folder: Path, name: str) -> NDArray[Any]:
    """One array, memory-mapped and read-only."""
    return np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False))


def read_json(folder: Path, name: str) -> Any:
    """One JSON document."""
    return json.loads((folder / f"{name}.json").read_text("utf-8"))


def _compare(path: Path, expected: Mapping[str, Any], *, verify: bool) -> None:
    try:
        size = path.stat().st_size
    except FileNotFoundError as error:
        raise _corrupt(path, "is missing") from error
    if size != expected["bytes"]:
        raise _corrupt(path, f"has {size} bytes instead of {expected['bytes']}")
    if verify and _checksum(path) != expected["blake2b"]:
        raise _corrupt(path, "does not match its checksum")


def _corrupt(path: Path, what: str) -> SnapshotCorrupt:
    return SnapshotCorrupt(f"{path} {what}: delete {path.parent} and take the snapshot again")


def _checksum(path: Path) -> str:
    digest = blake2b(digest_size=16)
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
