"""The services that answer requests, opened and closed together."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from featurestore.generations.generation import Generations
from featurestore.generations.indexes import BaseIndexes
from featurestore.online.open import open_online_store
from featurestore.online.store import OnlineStore
from graphdb import open_graph
from serving.lookup import Lookup
from serving.online_features import OnlineFeatures
from serving.published import PublishedGenerations
from serving.settings import ServingSettings
from serving.similar import SimilarUsers
from serving.staleness import GraphHead


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Lookups, similar users and Feast's protocol over one read-only online store."""

    home: Path
    online: OnlineStore
    generations: Generations
    graph_head: GraphHead
    published: PublishedGenerations
    lookup: Lookup
    similar: SimilarUsers
    online_features: OnlineFeatures


@contextmanager
def open_services(settings: ServingSettings) -> Iterator[Services]:
    """Open the stores for reading. Raises StoreUnavailable when there is no online store yet."""
    online = open_online_store(settings.features, read_only=True)
    graph_head = GraphHead(
        partial(open_graph, settings.graph.graph_url, read_only=True),
        keep_seconds=settings.graph_head_seconds,
    )
    try:
        yield _compose(settings, online, graph_head)
    finally:
        graph_head.close()
        online.close()


def _compose(settings: ServingSettings, online: OnlineStore, graph_head: GraphHead) -> Services:
    generations = Generations(settings.features)
    published = PublishedGenerations(online, generations, BaseIndexes(settings.features))
    lookup = Lookup(
        online=online,
        published=published,
        graph_head=graph_head,
        max_users=settings.max_users,
    )
    return Services(
        home=settings.features.home,
        online=online,
        generations=generations,
        graph_head=graph_head,
        published=published,
        lookup=lookup,
        similar=SimilarUsers(
            online=online,
            published=published,
            lookup=lookup,
            max_neighbours=settings.max_neighbours,
        ),
        online_features=OnlineFeatures(
            online=online, published=published, max_users=settings.max_users
        ),
    )
