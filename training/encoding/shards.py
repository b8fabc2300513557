"""Encodes users range by range: every range is a task that writes one file.

    FOLDER/modal-00003.safetensors    R^I and R^T of the users of range 3
    FOLDER/graph-00003.npy            R^G of the same users

All modal files come first: the graph encoder reads those of its neighbours, memory-mapped. A range
that has its file is not encoded again, so a killed encoding resumes. Ranges are the chunks of the
encoding in one process, so on equal processors with as many threads the result is bit-identical.

Shapes: N users, R users of a range.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from foundation.durable_files import write_whole
from graphdb.snapshot.snapshot import open_snapshot
from training.encoding.all_users import best_device
from training.encoding.vectors_file import load_vectors, save_rows, save_vectors
from training.engine.files import load_tensors
from training.inputs.post_inputs import open_post_inputs
from training.mmga.config import RunConfig
from training.mmga.model import MMGA, blank
from training.mmga.training_data import TrainingData, training_data
from training.mmga.user_bank import ModalVectors
from training.mmga.user_vectors import Chunks, PostVectors, encode_graph, post_vectors
from training.options.document import from_json
from training.sampling.snapshot_source import SnapshotSource
from training.sampling.source import GraphSource

Kind = Literal["modal", "graph"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodingJob:
    """The arguments to encode a range of users, as plain values; all machines share the paths.

    `modal_folder` is where the modal files are (those of another job with the same weights can be
    used); with `all_follows` held-out follows are read too.
    """

    folder: Path
    modal_folder: Path
    config: str
    snapshot: Path
    post_inputs: Path
    weights: Path
    all_follows: bool
    salt: bytes
    num_users: int
    chunks: Chunks
    num_threads: int

    @property
    def num_ranges(self) -> int:
        """Number of ranges."""
        return -(-self.num_users // self.chunks.num_users)

    def users(self, number: int) -> NDArray[np.int64]:
        """The users of a range."""
        start = number * self.chunks.num_users
        return np.arange(start, min(start + self.chunks.num_users, self.num_users))

    def path(self, kind: Kind, number: int) -> Path:
        """The file of a range."""
        if kind == "modal":
            return self.modal_folder / f"modal-{number:05d}.safetensors"
        return self.folder / f"graph-{number:05d}.npy"

    def missing(self, kind: Kind) -> list[int]:
        """Ranges that have no file yet."""
        return [each for each in range(self.num_ranges) if not self.path(kind, each).exists()]


def encode_range(job: EncodingJob, kind: Kind, number: int) -> None:
    """Encode the users of a range and write its file."""
    torch.set_num_threads(job.num_threads)
    model, data, source = opened(job)
    users = job.users(number)
    path = job.path(kind, number)
    if kind == "modal":
        save_vectors(path, post_vectors(model, data, users, chunks=job.chunks))
        return
    known = ShardedVectors(job)
    rows = encode_graph(model, data, known, source, users=users, salt=job.salt, chunks=job.chunks)
    write_whole(path, lambda partial: save_array(partial, rows))


@lru_cache(maxsize=1)
def opened(job: EncodingJob) -> tuple[MMGA, TrainingData, GraphSource]:
    """Network, posts and follows; kept by a process for the next range of the same job."""
    config = from_json(RunConfig, job.config)
    snapshot = open_snapshot(job.snapshot, verify=False)
    data = training_data(snapshot, open_post_inputs(job.post_inputs), config.graph.edges)
    model = blank(config, data.statistics.shape[1])
    model.load_state_dict(load_tensors(job.weights))
    source = data.source
    if job.all_follows:
        source = SnapshotSource(snapshot, config.graph.edges, without_folds=())
    return model.to(best_device()), data, source


class ShardedVectors:
    """R^I and R^T of all users of a job, read from its files."""

    def __init__(self, job: EncodingJob) -> None:
        self.job = job

    def read(self, users_B: Int[Tensor, " B"]) -> ModalVectors:
        """Vectors of these users, for the network."""
        users = users_B.numpy()
        ranges, offsets = np.divmod(users, self.job.chunks.num_users)
        found = {
            name: np.empty((len(users), *rows.shape[1:]), rows.dtype)
            for name, rows in arrays_of(self._files[0]).items()
        }
        for number in np.unique(ranges):
            here = ranges == number
            for name, rows in arrays_of(self._files[number]).items():
                found[name][here] = rows[offsets[here]]
        return PostVectors(**found).tensors()

    @cached_property
    def _files(self) -> Sequence[PostVectors]:
        return [
            load_vectors(self.job.path("modal", number), PostVectors)
            for number in range(self.job.num_ranges)
        ]


def arrays_of(vectors: PostVectors) -> dict[str, NDArray[Any]]:
    """The arrays of vectors by name."""
    return {each.name: getattr(vectors, each.name) for each in fields(vectors)}


def join(job: EncodingJob, path: Path) -> None:
    """Join the files of all ranges into one file, with one range in memory at a time."""
    config = from_json(RunConfig, job.config)

    def modal(name: str) -> Any:
        return lambda: (
            getattr(load_vectors(job.path("modal", each), PostVectors), name)
            for each in range(job.num_ranges)
        )

    save_rows(
        path,
        job.num_users,
        {
            "graph": config.graph.width,
            "image": config.image.width,
            "text": config.text.width,
        },
        {
            "graph": lambda: (np.load(job.path("graph", each)) for each in range(job.num_ranges)),
            **{name: modal(name) for name in ("image", "text", "has_image", "has_text")},
        },
    )


def save_array(path: Path, rows: NDArray[Any]) -> None:
    """Write an array to a path with any suffix."""
    with path.open("wb") as file:
        np.save(file, rows, allow_pickle=False)
