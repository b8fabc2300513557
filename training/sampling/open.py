"""Opens the source of edges and neighbours."""

from graphdb.open import open_graph
from graphdb.snapshot.snapshot import Snapshot
from training.sampling.config import Edges, Sampler
from training.sampling.retries import retry
from training.sampling.snapshot_source import SnapshotSource
from training.sampling.source import GraphSource


def open_source(sampler: Sampler, edges: Edges, snapshot: Snapshot, graph_url: str) -> GraphSource:
    """The source that `sampler` names; call it in the process that draws the batches.

    Connecting to a database is retried as in `retry`. Raises GraphUnavailable
    when it cannot be opened, NothingToTrain when it holds another graph than the snapshot.
    """
    if sampler == "snapshot":
        return SnapshotSource(snapshot, edges)
    from training.sampling.database_source import DatabaseSource

    store = retry(lambda: open_graph(graph_url, read_only=True))
    try:
        return DatabaseSource(snapshot, edges, store)
    except BaseException:
        store.close()
        raise
