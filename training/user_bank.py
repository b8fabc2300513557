"""The bank: the newest known image and text vector of every user, without gradient.

Shapes: N users, B users written or read, Di and Dt widths.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class ModalVectors:
    """R^I and R^T of B users; a row without image or text is zero and is not to be read."""

    image: Float[Tensor, "B Di"]
    text: Float[Tensor, "B Dt"]
    has_image: Bool[Tensor, " B"]
    has_text: Bool[Tensor, " B"]


class UserBank:
    """R^I and R^T of all users, refreshed as users are encoded, read by the graph encoder."""

    def __init__(self, num_users: int, *, image_width: int, text_width: int) -> None:
        self.image = torch.zeros(num_users, image_width)
        self.text = torch.zeros(num_users, text_width)
        self.has_image = torch.zeros(num_users, dtype=torch.bool)
        self.has_text = torch.zeros(num_users, dtype=torch.bool)

    def write(self, users_B: Int[Tensor, " B"], vectors: ModalVectors) -> None:
        """Overwrite what the vectors have; what a user lacks stays as it was."""
        image, text = vectors.has_image.cpu(), vectors.has_text.cpu()
        self.image[users_B[image]] = vectors.image.detach().cpu()[image]
        self.text[users_B[text]] = vectors.text.detach().cpu()[text]
        self.has_image[users_B[image]] = True
        self.has_text[users_B[text]] = True

    def read(self, users_B: Int[Tensor, " B"]) -> ModalVectors:
        """Vectors of these users."""
        return ModalVectors(
            image=self.image[users_B],
            text=self.text[users_B],
            has_image=self.has_image[users_B],
            has_text=self.has_text[users_B],
        )

    def state(self) -> dict[str, Tensor]:
        """All tensors, by name."""
        return {
            "image": self.image,
            "text": self.text,
            "has_image": self.has_image,
            "has_text": self.has_text,
        }

    def load(self, state: dict[str, Tensor]) -> None:
        """Take the tensors that `state` gave."""
        for name, tensor in self.state().items():
            tensor.copy_(state[name])
