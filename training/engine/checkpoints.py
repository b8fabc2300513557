"""Checkpoints of one seed's training; the newest sound one counts.

    FOLDER/00000025.safetensors    the state after 25 steps
    FOLDER/00000025.json           its digest, and what else a resumed run needs

The JSON file is written last; from then on the checkpoint exists, complete and flushed to disk. If
a state does not match its digest (lost write, truncated file), the previous checkpoint is used, so
two are kept.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from foundation.durable_files import write_text
from training.engine.files import save_tensors

NUM_KEPT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """The state before `next_step`, in the file `state`, and the metadata of the run until then."""

    next_step: int
    state: Path
    digest: str
    metadata: Mapping[str, Any]


def save_checkpoint(
    folder: Path, next_step: int, state: Mapping[str, Tensor], metadata: Mapping[str, Any]
) -> None:
    """Write the state before `next_step`; delete later checkpoints and all earlier ones but one.

    Later ones exist if an earlier attempt got further, but training resumed from an older one.
    """
    path = folder / f"{next_step:08d}.safetensors"
    save_tensors(path, state)
    values = {"next_step": next_step, "digest": digest(path), "metadata": dict(metadata)}
    write_text(path.with_suffix(".json"), json.dumps(values, sort_keys=True))
    earlier = [number for number in numbers(folder) if number <= next_step]
    for number in {*numbers(folder)} - {*earlier[:NUM_KEPT]}:
        drop(folder, number)


def newest_checkpoint(folder: Path) -> Checkpoint | None:
    """The newest sound checkpoint; None where there is none. Raises OSError, as `sound` does."""
    for number in numbers(folder):
        checkpoint = sound(folder, number)
        if checkpoint is not None:
            return checkpoint
    return None


def drop_torn(folder: Path) -> Iterator[int]:
    """Delete the checkpoints that are newer than the newest sound one; yield their steps."""
    newest = newest_checkpoint(folder)
    for number in numbers(folder):
        if newest is None or number > newest.next_step:
            drop(folder, number)
            yield number


def read_checkpoint(folder: Path, number: int) -> Checkpoint:
    """The checkpoint before a step, from its JSON file. Raises OSError, ValueError, KeyError."""
    progress = folder / f"{number:08d}.json"
    values = json.loads(progress.read_text(encoding="utf-8"))
    return Checkpoint(
        next_step=values["next_step"],
        state=progress.with_suffix(".safetensors"),
        digest=values["digest"],
        metadata=values["metadata"],
    )


def sound(folder: Path, number: int) -> Checkpoint | None:
    """The checkpoint before a step, or None if it or its state is damaged.

    Raises OSError if a file cannot be read: a transient I/O error does not mean damage.
    """
    try:
        checkpoint = read_checkpoint(folder, number)
        return checkpoint if digest(checkpoint.state) == checkpoint.digest else None
    except (FileNotFoundError, ValueError, KeyError):
        return None


def numbers(folder: Path) -> list[int]:
    """Steps that have a checkpoint, newest first."""
    return sorted((int(path.stem) for path in folder.glob("[0-9]*.json")), reverse=True)


def drop(folder: Path, number: int) -> None:
    """Delete a checkpoint, its JSON file first."""
    for suffix in (".json", ".safetensors"):
        (folder / f"{number:08d}{suffix}").unlink(missing_ok=True)


def digest(path: Path) -> str:
    """BLAKE2b-128 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def entries_below(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Entries below a prefix, without it."""
    dotted = f"{prefix}."
    return {
        name.removeprefix(dotted): tensor
        for name, tensor in state.items()
        if name.startswith(dotted)
    }
