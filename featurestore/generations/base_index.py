"""The base index of a generation: R of every user, memory-mapped, searched by brute force.

N users, D width.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from featurestore.errors import ArtifactCorrupt, FeatureInvalid, FormatRefused
from foundation.errors import TensorsUnreadable
from foundation.format_version import INDEX
from foundation.safetensors_file import mapped_tensors, read_metadata

INDEX_FILE = "base_index.safetensors"
USERS_FILE = "users.json"
FORMAT = "format_version"
BLOCK = 65_536

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class BaseIndex:
    """R (N, D) and its norms (N,), row i of `user_ids[i]`."""

    user_ids: Sequence[str]
    representations: FloatArray
    norms: FloatArray

    @classmethod
    def of(cls, user_ids: Sequence[str], representations: FloatArray) -> Self:
        """Index R (N, D). Raises FeatureInvalid when the sizes differ."""
        if len(user_ids) != len(representations) or representations.ndim != 2:
            raise FeatureInvalid(
                f"{len(user_ids)} users and representations of shape {representations.shape}"
            )
        data = np.ascontiguousarray(representations, np.float32)
        return cls(user_ids=user_ids, representations=data, norms=np.linalg.norm(data, axis=1))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Map the index of a generation's folder. Raises ArtifactCorrupt, FormatRefused."""
        try:
            found = int(read_metadata(folder / INDEX_FILE).get(FORMAT, INDEX.version))
            if refusal := INDEX.refusal(folder, found):
                raise FormatRefused(refusal)
            tensors = mapped_tensors(folder / INDEX_FILE)
            refuse_other_types(tensors)
            user_ids = json.loads((folder / USERS_FILE).read_text(encoding="utf-8"))
            index = cls(user_ids=user_ids, **tensors)
        except (OSError, ValueError, TypeError, TensorsUnreadable) as error:
            raise ArtifactCorrupt(
                f"{folder / INDEX_FILE} is not an index ({error}): publish a new generation"
            ) from error
        if not len(index.user_ids) == len(index.representations) == len(index.norms):
            raise ArtifactCorrupt(f"{folder / INDEX_FILE} and {USERS_FILE} differ in length")
        return index

    def save(self, folder: Path) -> None:
        """Write the index into a folder that is being staged."""
        tensors = {"representations": self.representations, "norms": self.norms}
        save_file(
            {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()},
            folder / INDEX_FILE,
            metadata={FORMAT: str(INDEX.version)},
        )
        users = json.dumps(list(self.user_ids), ensure_ascii=False)
        (folder / USERS_FILE).write_text(users, encoding="utf-8")

    def representation_of(self, user_id: str) -> FloatArray | None:
        """R (D,) of one user as published; None if the index lacks the user."""
        row = self.rows.get(user_id)
        return None if row is None else np.array(self.representations[row])

    def top_k(
        self, query: FloatArray, k: int, *, exclude: Sequence[str] = ()
    ) -> list[tuple[str, float]]:
        """The k users of greatest cosine to `query` (D,), best first, ties in index order.

        A zero vector has cosine 0 to everything.
        """
        scores = self.cosines(query)
        for user_id in exclude:
            if (row := self.rows.get(user_id)) is not None:
                scores[row] = -np.inf
        k = min(k, int(np.isfinite(scores).sum()))
        if k <= 0:
            return []
        kth = np.partition(scores, len(scores) - k)[len(scores) - k]
        best = np.flatnonzero(scores >= kth)
        best = best[np.argsort(-scores[best], kind="stable")][:k]
        return [(self.user_ids[row], float(scores[row])) for row in best.tolist()]

    def cosines(self, query: FloatArray) -> FloatArray:
        """Cosine (N,) of each user to `query` (D,), block by block."""
        if query.shape != self.representations.shape[1:]:
            raise FeatureInvalid(
                f"a query of shape {query.shape} cannot be compared with vectors of width "
                f"{self.representations.shape[1]}"
            )
        unit = np.asarray(query, np.float32) / max(float(np.linalg.norm(query)), 1e-12)
        scores = np.empty(len(self.norms), np.float32)
        for start in range(0, len(scores), BLOCK):
            block = slice(start, start + BLOCK)
            scores[block] = self.representations[block] @ unit
        scores /= np.maximum(self.norms, np.float32(1e-12))
        return scores

    @cached_property
    def rows(self) -> dict[str, int]:
        """Row of each user."""
        return {user_id: row for row, user_id in enumerate(self.user_ids)}


def refuse_other_types(tensors: Mapping[str, NDArray[Any]]) -> None:
    """Raises ValueError for a tensor that is not of float32."""
    for name, tensor in tensors.items():
        if tensor.dtype != np.float32:
            raise ValueError(f"{name} is {tensor.dtype}, not float32")
