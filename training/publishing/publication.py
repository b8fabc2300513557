"""What a training run hands to publishing, and what became of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featurestore.definitions import MODALITIES
from graphdb.snapshot.snapshot import Snapshot
from training.encoding.all_users import UserVectors
from training.evaluation.evaluator import NamedHead
from training.publishing.trial import Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """The content of a generation.

    `generation_id` is fixed before the first attempt, so that a repeated one completes it.
    `vectors` are of all users of the snapshot, over all its follows. `scales` are those under
    which R was evaluated and `heads` were trained. `files` are copied (paths) or written (texts)
    into the generation. `trial` is None where too few follows are held out. `lineage` goes into the
    manifest: recipe, seed, code version, counts, losses, environment.
    """

    generation_id: str
    snapshot: Snapshot
    vectors: UserVectors
    scales: Mapping[str, float]
    heads: Mapping[str, NamedHead]
    files: Mapping[str, Path | str]
    evaluation: Mapping[str, Any]
    trial: Trial | None = None
    lineage: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """The result of a publication; `reasons` say why it is not active."""

    generation_id: str
    is_active: bool
    reasons: tuple[str, ...]
    num_users: int
    num_left: int
    path: Path


def by_modality(vectors: UserVectors) -> dict[str, NDArray[np.float32]]:
    """The vectors (N, D) of each modality."""
    return {name: getattr(vectors, name) for name in MODALITIES}
