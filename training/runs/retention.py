"""Drops generations and snapshots that the policy does not keep, so that a home stays bounded.

Of generations and of the snapshots of each graph the newest few are kept, and whatever else is in
use: active, previous and pinned generations with their references, and snapshots of unfinished
runs. Deleting is repeatable: what a kill has left half deleted is no longer seen, and the next
publication or snapshot removes it.
"""

import shutil
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from filelock import FileLock

from foundation.durable_files import PARTIAL
from training.inputs.captions import texts_folder
from training.publishing.drop import drop
from training.publishing.promotion import reference_of
from training.publishing.stores import Stores
from training.runs.run_folder import runs
from training.settings import TrainingSettings

Kept = TypeVar("Kept")


def surplus(oldest_first: Sequence[Kept], *, keep: int, in_use: Collection[Kept]) -> list[Kept]:
    """All but the newest `keep` and those in use, oldest first."""
    old = oldest_first[: max(0, len(oldest_first) - keep)]
    return [each for each in old if each not in in_use]


def retire(stores: Stores, settings: TrainingSettings) -> None:
    """Drop what the policy does not keep; the caller holds the lock of publishing."""
    generations = [each.id for each in stores.generations.list()]
    in_use = generations_in_use(stores)
    for generation_id in surplus(generations, keep=settings.keep_generations, in_use=in_use):
        drop(stores, generation_id)
    retire_snapshots(settings)


def generations_in_use(stores: Stores) -> set[str]:
    """What is served, what a rollback serves, what is pinned, and the references of these."""
    known, pointer = stores.generations, stores.online.pointer()
    in_use = {*pointer.kept, stores.registry.active_service()} - {None}
    kept = [each for each in known.list() if each.id in in_use]
    references = [reference_of(each, known) for each in kept]
    return {*pointer.kept, *(each.id for each in [*kept, *references] if each is not None)}


def retire_snapshots(settings: TrainingSettings) -> None:
    """Drop snapshots, with their texts, that the policy does not keep."""
    in_use = {run.snapshot for _, run in runs(settings.runs) if run.status != "finished"}
    for folder in sorted(settings.snapshots.glob("*/")):
        found = list(snapshots_of(folder))
        for snapshot in surplus(found, keep=settings.keep_snapshots, in_use=in_use):
            drop_snapshot(snapshot)


def snapshots_of(folder: Path) -> Iterator[Path]:
    """The snapshots of one graph, oldest first."""
    versions = sorted(int(each.name) for each in folder.iterdir() if each.name.isdecimal())
    return (folder.absolute() / str(version) for version in versions)


def drop_snapshot(snapshot: Path) -> None:
    """Delete a snapshot and its texts: renamed first, so that nobody opens half of one."""
    with FileLock(snapshot.parent / ".lock", poll_interval=0.05):
        for folder in (snapshot, texts_folder(snapshot)):
            if folder.exists():
                grave = folder.with_name(f".{folder.name}{PARTIAL}")
                shutil.rmtree(grave, ignore_errors=True)
                shutil.rmtree(folder.rename(grave))
