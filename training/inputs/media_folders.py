"""Where the folders of events files lie now."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from graphdb.facts import Position

EMPTY = "0:"
"""Begins the fingerprint of a file that was empty when it was first read."""


def moved_folders(positions: Iterable[Position]) -> Mapping[str, tuple[Path, ...]]:
    """For a folder from which a file of events is gone, the folders of files that began alike.

    So a folder is found that was moved and ingested again, though its events changed nothing.
    """
    alike: dict[str, list[Path]] = {}
    for position in positions:
        if position.fingerprint and not position.fingerprint.startswith(EMPTY):
            alike.setdefault(position.fingerprint, []).append(Path(position.source))
    moved: dict[str, tuple[Path, ...]] = {}
    for paths in alike.values():
        there = tuple(path.parent for path in paths if path.is_file())
        for gone in {str(path.parent) for path in paths if not path.is_file()} if there else ():
            moved[gone] = (*moved.get(gone, ()), *there)
    return moved
