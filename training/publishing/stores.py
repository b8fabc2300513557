"""What publishing writes to, opened by the one process that publishes into its folders."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from featurestore.feast_adapter.registry import FeatureRegistry
from featurestore.generations.generation import Generations
from featurestore.generations.indexes import BaseIndexes
from featurestore.history import History
from featurestore.online.open import open_online_store
from featurestore.online.store import OnlineStore
from featurestore.settings import FeatureStoreSettings
from foundation.stage_run import stage_run
from graphdb.stage import StageLock
from graphdb.store import GraphStore
from training.settings import TrainingSettings

STAGE = "publishing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """Online store, registry, history, generations and indexes; the graph is only read."""

    graph: GraphStore
    training: TrainingSettings
    online: OnlineStore
    registry: FeatureRegistry
    history: History
    generations: Generations
    indexes: BaseIndexes


@contextmanager
def open_stores(
    graph: GraphStore,
    settings: FeatureStoreSettings,
    training: TrainingSettings,
    *,
    timeout_seconds: float = 0,
) -> Iterator[Stores]:
    """Hold the lock of publishing and open the stores.

    Raises StageBusy when another process publishes for `timeout_seconds`, StoreUnavailable.
    """
    with (
        StageLock(settings.artifacts_root, STAGE, timeout_seconds=timeout_seconds),
        stage_run(settings.home, STAGE),
        closing(open_online_store(settings)) as online,
    ):
        yield Stores(
            graph=graph,
            training=training,
            online=online,
            registry=FeatureRegistry(settings),
            history=History(settings),
            generations=Generations(settings),
            indexes=BaseIndexes(settings),
        )
