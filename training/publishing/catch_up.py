"""Brings the projections of a generation up to date with the graph."""

from dataclasses import dataclass
from typing import Protocol

from featurestore.definitions import representation_name
from featurestore.generations.generation import Generation
from graphdb.snapshot.snapshot import Snapshot, take_snapshot
from graphdb.store import GraphStore, Head
from training.encoding.all_users import UserVectors
from training.encoding.generation import drop_encodings, generation_vectors
from training.engine.progress import Reporter
from training.publishing.projection import Progress, project, writing_stage
from training.publishing.stores import Stores
from training.settings import TrainingSettings


class Encode(Protocol):
    """Vectors of all users of a snapshot by a sealed generation, held-out follows in or out."""

    def __call__(
        self, generation: Generation, snapshot: Snapshot, *, all_follows: bool
    ) -> UserVectors:
        """Encode."""


def catching_up(
    graph: GraphStore, settings: TrainingSettings, reporter: Reporter, *, num_workers: int = 1
) -> "CatchUp":
    """Catches up by the networks of the generations."""

    def encode(generation: Generation, snapshot: Snapshot, *, all_follows: bool) -> UserVectors:
        return generation_vectors(
            generation,
            snapshot,
            graph,
            settings,
            reporter,
            all_follows=all_follows,
            num_workers=num_workers,
        )

    return CatchUp(encode=encode, progress=reporter.counting)


@dataclass(frozen=True, slots=True, kw_only=True)
class CatchUp:
    """Encodes a generation over the graph as it is now, where its projections are not of now."""

    encode: Encode
    progress: Progress | None = None

    def __call__(self, stores: Stores, generation: Generation) -> None:
        """Write vectors and base index under the commit time of a new snapshot; delete who left."""
        if is_current(stores, generation):
            return
        snapshot = take_snapshot(stores.graph, stores.training.snapshots)
        vectors = self.encode(generation, snapshot, all_follows=True)
        project(stores, generation, snapshot, vectors, self.progress)
        drop_encodings(stores.training, generation.id)


def is_current(stores: Stores, generation: Generation) -> bool:
    """Whether vectors and base index are complete and of the graph's head."""
    return is_projected(stores, generation, stores.graph.head())


def is_projected(stores: Stores, generation: Generation, to: Snapshot | Head) -> bool:
    """Whether vectors and base index are complete up to a version of the graph, or beyond."""
    online, graph_id = stores.online, stores.graph.graph_id
    marks = (
        online.watermark(representation_name(generation.id)),
        stores.indexes.watermark(generation.id),
    )
    return online.watermark(writing_stage(generation.id)) is None and all(
        mark is not None and mark.graph_id == graph_id and mark.version >= to.version
        for mark in marks
    )
