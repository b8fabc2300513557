"""Encodes users range by range: every range is a task of each pass and writes one file.

    FOLDER/modal-00003.safetensors      R^I and R^T of the users of range 3
    FOLDER/layer-0-00003.safetensors    what layer 1 reads of these users
    FOLDER/layer-1-00003.safetensors    what layer 2 reads of them, after layer 1; and so on
    FOLDER/layer-2-00003.safetensors    after the last layer: R^G

A pass begins when all files of the pass before it are there: it reads those of all neighbours,
memory-mapped. A range that has its file is not encoded again, so a killed encoding resumes. Ranges
are the chunks of the encoding in one process, so on equal processors with as many threads the
result is bit-identical.

Shapes: N users, R users of a range.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from safetensors.numpy import save_file
from torch import Tensor

from foundation.durable_files import write_whole
from foundation.safetensors_file import mapped_tensors
from graphdb.snapshot.snapshot import open_snapshot
from training.encoding.all_users import best_device
from training.encoding.vectors_file import save_rows, save_vectors
from training.engine.files import load_tensors
from training.inputs.post_inputs import open_post_inputs
from training.mmga.config import RunConfig
from training.mmga.layer_wise import VECTORS, Columns, LayerEncoder
from training.mmga.model import MMGA, blank
from training.mmga.training_data import TrainingData, training_data
from training.mmga.user_bank import ModalVectors
from training.mmga.user_vectors import Chunks, PostVectors, post_vectors
from training.options.document import from_json
from training.sampling.snapshot_source import SnapshotSource
from training.sampling.source import GraphSource

MODAL = "modal"
"""The pass over posts."""


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

    @property
    def passes(self) -> tuple[str, ...]:
        """The passes in their order: over posts, then those of `LayerEncoder`."""
        num_layers = from_json(RunConfig, self.config).graph.num_layers
        return (MODAL, *(f"layer-{number}" for number in range(num_layers + 1)))

    def path(self, name: str, number: int) -> Path:
        """The file of a range after a pass."""
        folder = self.modal_folder if name == MODAL else self.folder
        return folder / f"{name}-{number:05d}.safetensors"

    def missing(self, name: str) -> list[int]:
        """Ranges that have no file of a pass yet."""
        return [each for each in range(self.num_ranges) if not self.path(name, each).exists()]


def encode_range(job: EncodingJob, name: str, number: int) -> None:
    """Do a pass for the users of a range and write its file."""
    torch.set_num_threads(job.num_threads)
    model, data, source = opened(job)
    users, path = job.users(number), job.path(name, number)
    if name == MODAL:
        save_vectors(path, post_vectors(model, data, users, chunks=job.chunks))
        return
    layers = LayerEncoder(
        model=model,
        data=data,
        known=ModalFiles(job),
        source=source,
        salt=job.salt,
        chunks=job.chunks,
    )
    layer = job.passes.index(name) - 1
    before = RangeFiles(job, job.passes[layer]) if layer else None
    columns = layers.columns(layer, users, before)
    write_whole(path, lambda partial: save_file(dict(columns), partial))


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


class RangeFiles:
    """The columns of all users that a pass has left in the files of its ranges."""

    def __init__(self, job: EncodingJob, name: str) -> None:
        self.job, self.name = job, name

    def read(self, users: NDArray[np.int64]) -> Columns:
        """The rows of these users."""
        order = np.argsort(users, kind="stable")
        starts = np.arange(self.job.num_ranges + 1) * self.job.chunks.num_users
        cuts = np.searchsorted(users[order], starts)
        found = {
            name: np.empty((len(users), *column.shape[1:]), column.dtype)
            for name, column in self._files[0].items()
        }
        for number, (first, last) in enumerate(pairwise(cuts)):
            here = order[first:last]
            if len(here):
                for name, column in self._files[number].items():
                    found[name][here] = column[users[here] - starts[number]]
        return found

    @cached_property
    def _files(self) -> Sequence[Columns]:
        return list(self.files())

    def files(self) -> Iterator[Columns]:
        """The columns of each range, memory-mapped."""
        return (
            mapped_tensors(self.job.path(self.name, number))
            for number in range(self.job.num_ranges)
        )


class ModalFiles:
    """R^I and R^T of all users of a job, read from its files."""

    def __init__(self, job: EncodingJob) -> None:
        self.rows = RangeFiles(job, MODAL)

    def read(self, users_B: Int[Tensor, " B"]) -> ModalVectors:
        """Vectors of these users, for the network."""
        return PostVectors(**self.rows.read(users_B.numpy())).tensors()


def join(job: EncodingJob, path: Path) -> None:
    """Join the files of all ranges into one file, with one range in memory at a time."""
    config = from_json(RunConfig, job.config)
    widths = {
        VECTORS: config.graph.width,
        "image": config.image.width,
        "text": config.text.width,
    }
    parts = {
        VECTORS: job.passes[-1],
        **dict.fromkeys(("image", "text", "has_image", "has_text"), MODAL),
    }
    save_rows(
        path, job.num_users, widths, {name: column(job, each, name) for name, each in parts.items()}
    )


def column(job: EncodingJob, name: str, column: str) -> Callable[[], Iterable[NDArray[Any]]]:
    """The rows of a column after a pass, range by range."""
    return lambda: (columns[column] for columns in RangeFiles(job, name).files())
