"""The bank: the newest known image and text vector of every user, without gradient.

Only users with posts of a modality have a row, so memory is in proportion to the users who post.
Every row records the step that wrote it.

Shapes: N users, B users written or read, R rows of a modality, D its width, Di and Dt widths.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor

from training.engine.distributed import gathered
from training.mmga.config import RunConfig
from training.mmga.training_data import PostLists, TrainingData


@dataclass(frozen=True, slots=True, kw_only=True)
class ModalVectors:
    """R^I and R^T of B users; a row without image or text is zero and is not to be read."""

    image: Float[Tensor, "B Di"]
    text: Float[Tensor, "B Dt"]
    has_image: Bool[Tensor, " B"]
    has_text: Bool[Tensor, " B"]


class ModalRows:
    """Vectors (R, D) of the users who have a row, and the step that wrote each.

    `written` is the step's number plus one, or 0 before the first write. An additional last row
    receives vectors that are to be discarded, so that a write does not wait for the device to count
    the others; this row is never marked as written.
    """

    def __init__(self, has_row_N: NDArray[np.bool_], width: int, device: torch.device) -> None:
        self.num_rows = int(has_row_N.sum())
        rows_N = np.where(has_row_N, np.cumsum(has_row_N) - 1, self.num_rows)
        self.row_of = torch.from_numpy(rows_N).to(device)
        self.vectors = torch.zeros(self.num_rows + 1, width, device=device)
        self.written = torch.zeros(self.num_rows + 1, dtype=torch.int64, device=device)

    def write(
        self,
        users_B: Int[Tensor, " B"],
        vectors_BD: Float[Tensor, "B D"],
        has_B: Bool[Tensor, " B"],
        step: int,
    ) -> None:
        """Overwrite the rows of these distinct users where `has` is true."""
        rows_B = torch.where(has_B, self.row_of[users_B], self.num_rows)
        self.vectors.index_copy_(0, rows_B, vectors_BD.detach().to(self.vectors.dtype))
        self.written.index_fill_(0, rows_B, step + 1)
        self.written[self.num_rows] = 0

    def read(self, users_B: Int[Tensor, " B"]) -> tuple[Float[Tensor, "B D"], Bool[Tensor, " B"]]:
        """Vectors of these users, zero if unknown, and whether they are known."""
        rows_B = self.row_of[users_B]
        known_B = self.written[rows_B] > 0
        return self.vectors[rows_B].masked_fill(~known_B.unsqueeze(1), 0.0), known_B


class UserBank:
    """R^I and R^T of all users, refreshed as users are encoded, read by the graph encoder.

    `step` is the number of the step that writes now.
    """

    def __init__(
        self,
        has_image_N: Bool[np.ndarray, " N"],
        has_text_N: Bool[np.ndarray, " N"],
        *,
        image_width: int,
        text_width: int,
        device: torch.device | None = None,
    ) -> None:
        device = torch.device("cpu") if device is None else device
        self.device = device
        self.image = ModalRows(has_image_N, image_width, device)
        self.text = ModalRows(has_text_N, text_width, device)
        self.step = 0

    @property
    def is_empty(self) -> bool:
        """Whether no user's vector is known."""
        return not bool(self.image.written.any() | self.text.written.any())

    def write(self, users_B: Int[Tensor, " B"], vectors: ModalVectors) -> None:
        """Overwrite the modalities that the users have; the others are unchanged."""
        users_B = users_B.to(self.device)
        for rows, values, has in (
            (self.image, vectors.image, vectors.has_image),
            (self.text, vectors.text, vectors.has_text),
        ):
            rows.write(users_B, values.to(self.device), has.to(self.device), self.step)

    def read(self, users_B: Int[Tensor, " B"]) -> ModalVectors:
        """Vectors of these users."""
        users_B = users_B.to(self.device)
        image, has_image = self.image.read(users_B)
        text, has_text = self.text.read(users_B)
        return ModalVectors(image=image, text=text, has_image=has_image, has_text=has_text)

    def staleness(self, users_B: Int[Tensor, " B"], step: int) -> Float[Tensor, ""]:
        """Mean age, in steps, of the known vectors of these users; a scalar on the device.

        NaN if none is known.
        """
        users_B = users_B.to(self.device)
        written = torch.cat(
            [rows.written[rows.row_of[users_B]] for rows in (self.image, self.text)]
        )
        known = written > 0
        return ((step + 1 - written) * known).sum() / known.sum()

    def clear(self) -> None:
        """Forget all vectors."""
        for tensor in self.state().values():
            tensor.zero_()

    def state(self) -> dict[str, Tensor]:
        """All tensors, by name."""
        return {
            f"{name}{part}": tensor[: rows.num_rows]
            for name, rows in (("image", self.image), ("text", self.text))
            for part, tensor in (("", rows.vectors), ("_written", rows.written))
        }

    def load(self, state: dict[str, Tensor]) -> None:
        """Load tensors that `state` returned."""
        for name, tensor in self.state().items():
            tensor.copy_(state[name])


def bank_of(data: TrainingData, config: RunConfig, device: torch.device | None = None) -> UserBank:
    """An empty bank with rows for the users who have posts."""
    return UserBank(
        has_posts(data.images),
        has_posts(data.texts),
        image_width=config.image.width,
        text_width=config.text.width,
        device=device,
    )


def has_posts(lists: PostLists) -> NDArray[np.bool_]:
    """Which users (N,) have posts in the lists."""
    return np.diff(lists.indptr) > 0


def share_rows(bank: UserBank, users: Tensor, num_ranks: int) -> None:
    """Copy the rows that each rank has just written to the banks of all ranks.

    Ranks are applied in order: if two wrote the same user, all banks keep the row of the last.
    """
    rows = bank.read(users)
    mine = [users, rows.image, rows.text, rows.has_image, rows.has_text]
    for users, image, text, has_image, has_text in gathered(mine, num_ranks):
        vectors = ModalVectors(image=image, text=text, has_image=has_image, has_text=has_text)
        bank.write(users, vectors)
