"""Encodes users range by range: every range is a task of each pass and writes one file.

A pass begins when all files of the pass before it are there: it reads those of all neighbours,
memory-mapped. A range that has its file is not encoded again, so a killed encoding resumes. Ranges
are the chunks of the encoding in one process, so on equal processors with as many threads the
result is bit-identical.

Shapes: N users, R users of a range.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
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
from training.encoding.job import MODAL, EncodingJob
from training.encoding.kept_posts import open_kept, save_fresh
from training.encoding.vectors_file import save_rows, save_vectors
from training.engine.files import load_tensors
from training.inputs.post_inputs import open_post_inputs
from training.mmga.config import RunConfig
from training.mmga.layer_wise import VECTORS, Columns, LayerEncoder
from training.mmga.model import MMGA, blank
from training.mmga.training_data import TrainingData, training_data
from training.mmga.user_bank import ModalVectors
from training.mmga.user_vectors import PostVectors, post_vectors
from training.options.document import from_json
from training.sampling.snapshot_source import SnapshotSource
from training.sampling.source import GraphSource


def encode_range(job: EncodingJob, name: str, number: int) -> None:
    """Do a pass for the users of a range and write its file."""
    torch.set_num_threads(job.num_threads)
    model, data, source = opened(job)
    users, path = job.users(number), job.path(name, number)
    if name == MODAL:
        kept = open_kept(job) if job.keeps_posts else None
        vectors = post_vectors(model, data, users, chunks=job.chunks, kept=kept)
        if kept is not None:
            save_fresh(job, number, kept)
        save_vectors(path, vectors)
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
