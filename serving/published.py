"""Published generations, and the pointer to the active one, which a request resolves once."""

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock

from featurestore.definitions import representation_name
from featurestore.generations.base_index import BaseIndex
from featurestore.generations.generation import Generation, Generations
from featurestore.generations.indexes import BaseIndexes
from featurestore.online.store import OnlineStore
from foundation.watermark import Watermark
from serving.errors import NoGeneration

MAX_CACHED = 4
"""Cached generations: the active one, the previous one, and those of a switch in progress."""

LOOK_SECONDS = 1.0
"""How long a manifest is taken to be the one that was read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedGeneration:
    """The immutable data of a generation that serving needs.

    `published_to` is the graph version that all vectors were first computed from.
    """

    id: str
    view: str
    scales: Mapping[str, float]
    dims: Mapping[str, int]
    published_to: Watermark


@dataclass(frozen=True, slots=True, kw_only=True)
class Cached:
    """A generation that was read, when its manifest was last seen unchanged, and its index.

    `index_folder` is where the index was mapped from.
    """

    generation: PublishedGeneration
    manifest: Mapping[str, object]
    seen_at: float
    index_folder: Path | None = None
    index: BaseIndex | None = None


class PublishedGenerations:
    """Reads the pointer to the active generation, and each generation's artifacts once.

    Once a second the manifest is read again, so that a generation whose folder was deleted or
    replaced is not served from memory.
    """

    def __init__(
        self,
        online: OnlineStore,
        generations: Generations,
        indexes: BaseIndexes,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._online = online
        self._generations = generations
        self._indexes = indexes
        self._clock = clock
        self._cached: OrderedDict[str, Cached] = OrderedDict()
        self._lock = Lock()

    def active(self) -> PublishedGeneration | None:
        """The active generation now, None before the first is published."""
        generation_id = self._online.pointer().active
        return None if generation_id is None else self.get(generation_id)

    def required(self) -> PublishedGeneration:
        """The active generation; raises NoGeneration with the remedy."""
        generation = self.active()
        if generation is None:
            raise NoGeneration("no generation is active: run `mmga train` first")
        return generation

    def get(self, generation_id: str) -> PublishedGeneration:
        """One generation by id. Raises FeatureInvalid, GenerationMissing, ArtifactCorrupt."""
        with self._lock:
            return self._current(generation_id).generation

    def index(self, generation: PublishedGeneration) -> BaseIndex:
        """The generation's newest base index, memory-mapped.

        Raises GenerationMissing, ArtifactCorrupt.
        """
        with self._lock:
            cached = self._current(generation.id)
            if cached.index is None or cached.index_folder != self._indexes.newest(generation.id):
                folder, index = self._indexes.load(generation.id)
                cached = replace(cached, index_folder=folder, index=index)
                self._cached[generation.id] = cached
            assert cached.index is not None
            return cached.index

    def _current(self, generation_id: str) -> Cached:
        cached, now = self._cached.get(generation_id), self._clock()
        if cached is None or now - cached.seen_at >= LOOK_SECONDS:
            cached = self._read(generation_id, cached, now)
            self._cached[generation_id] = cached
            while len(self._cached) > MAX_CACHED:
                self._cached.popitem(last=False)
        self._cached.move_to_end(generation_id)
        return cached

    def _read(self, generation_id: str, cached: Cached | None, now: float) -> Cached:
        """What is cached where the manifest is the same, else what the folder holds now."""
        view = representation_name(generation_id)  # raises for what cannot be an id
        generation = self._generations.get(generation_id)
        if cached is not None and cached.manifest == generation.manifest:
            return replace(cached, seen_at=now)
        return Cached(
            generation=_published(view, generation), manifest=generation.manifest, seen_at=now
        )


def _published(view: str, generation: Generation) -> PublishedGeneration:
    manifest = generation.manifest
    return PublishedGeneration(
        id=generation.id,
        view=view,
        scales=generation.scales,
        dims=generation.dims,
        published_to=Watermark(
            graph_id=manifest["graph_id"],
            version=manifest["graph_version"],
            commit_time=manifest["commit_time"],
        ),
    )
