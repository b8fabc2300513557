"""The statistics stage: the projection of statistics behind the graph's change feed."""

from pathlib import Path

from featurestore.errors import RegistryUnreachable, StoreUnreachable
from featurestore.feast_adapter.registry import FeatureRegistry
from featurestore.history import History
from featurestore.online.store import OnlineStore
from graphdb.consumer import FeedConsumer, Observer
from graphdb.store import GraphStore
from ingest.statistics.projection import STAGE, StatisticsProjection


class StatisticsConsumer(FeedConsumer):
    """A `FeedConsumer` of statistics; `projection` counts what it has written."""

    def __init__(
        self,
        graph: GraphStore,
        online: OnlineStore,
        history: History,
        registry: FeatureRegistry,
        *,
        home: Path,
        observer: Observer = lambda report: None,
    ) -> None:
        self.projection = StatisticsProjection(graph, online, history, registry)
        super().__init__(
            STAGE,
            graph,
            self.projection,
            home=home,
            passing=(StoreUnreachable, RegistryUnreachable),
            observer=observer,
        )
