"""Published generations, and the pointer to the active one, which a request resolves once."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from featurestore.definitions import representation_name
from featurestore.generations.base_index import BaseIndex
from featurestore.generations.generation import Generations
from featurestore.online.store import OnlineStore, Watermark
from serving.errors import NoGeneration

MAX_CACHED = 4
"""Cached generations: the active one, the previous one, and those of a switch in progress."""


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
    folder: Path


class PublishedGenerations:
    """Reads the pointer to the active generation, and each generation's artifacts once."""

    def __init__(self, online: OnlineStore, generations: Generations) -> None:
        self._online = online
        self._generations = generations
        self._known: OrderedDict[str, PublishedGeneration] = OrderedDict()
        self._indexes: OrderedDict[str, BaseIndex] = OrderedDict()
        self._lock = Lock()

    def active(self) -> PublishedGeneration | None:
        """The active generation now, None before the first is published."""
        generation_id = self._online.active_generation()
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
            if generation_id not in self._known:
                self._known[generation_id] = self._read(generation_id)
                _forget_oldest(self._known)
            self._known.move_to_end(generation_id)
            return self._known[generation_id]

    def index(self, generation: PublishedGeneration) -> BaseIndex:
        """The generation's base index, memory-mapped. Raises ArtifactCorrupt."""
        with self._lock:
            if generation.id not in self._indexes:
                self._indexes[generation.id] = BaseIndex.load(generation.folder)
                _forget_oldest(self._indexes)
            self._indexes.move_to_end(generation.id)
            return self._indexes[generation.id]

    def _read(self, generation_id: str) -> PublishedGeneration:
        view = representation_name(generation_id)  # raises for what cannot be an id
        generation = self._generations.get(generation_id)
        manifest = generation.manifest
        return PublishedGeneration(
            id=generation_id,
            view=view,
            scales=generation.scales,
            dims=generation.dims,
            published_to=Watermark(
                graph_id=manifest["graph_id"],
                version=manifest["graph_version"],
                commit_time=manifest["commit_time"],
            ),
            folder=generation.path,
        )


def _forget_oldest(cache: OrderedDict[str, Any]) -> None:
    while len(cache) > MAX_CACHED:
        cache.popitem(last=False)
