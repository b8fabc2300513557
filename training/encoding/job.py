"""What is to be encoded, and the files of each range of users after each pass over all of them.

FOLDER/modal-00003.safetensors      R^I and R^T of the users of range 3
FOLDER/layer-0-00003.safetensors    what layer 1 reads of these users
FOLDER/layer-1-00003.safetensors    what layer 2 reads of them, after layer 1; and so on
FOLDER/layer-2-00003.safetensors    after the last layer: R^G
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.mmga.config import RunConfig
from training.mmga.user_vectors import Chunks
from training.options.document import from_json

MODAL = "modal"
"""The pass over posts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodingJob:
    """The arguments to encode a range of users, as plain values; all machines share the paths.

    `modal_folder` is where the modal files are (those of another job with the same weights can be
    used); with `all_follows` held-out follows are read too. With `keeps_posts` the vectors of posts
    are those kept beside the post inputs, where the encoders gave them before, and fresh ones are
    kept.
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
    keeps_posts: bool = False

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
