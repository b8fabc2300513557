"""Two graphs of one project on one Kafka are told of each other; one after the other is fine."""

from pathlib import Path

import pytest

from tests.ingest.conftest import Run
from tests.ingest.kafka.conftest import Start, Stream, document, totals, until
from tests.ingest.kafka.workers import lag, stop
from tests.ingest.made import follow_lines


def test_workers_of_two_graphs_do_not_share_the_partitions(
    stream: Stream, start: Start, run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream.create("users", "posts", "follows", partitions=2)
    stream.send(follow_lines(10))
    worker = start()
    until(lambda: lag(run) == 0)
    graph_id = graph_of(run)
    monkeypatch.setenv("MMGA_HOME", str(home / "other"))
    outcome = run("ingest", "--no-statistics")
    assert outcome.status == 1
    assert outcome.err.startswith(f"error: consumer group {stream.project}.ingest of Kafka at ")
    assert f"in use by graph {graph_id} (workers on 127.0.0.1)" in outcome.err
    assert "give this graph another MMGA_PROJECT, or stop the others" in outcome.err
    assert outcome.err.count("\n") == 1
    assert worker.poll() is None
    assert stop(worker) == 0
    assert totals(run)["events"] == 10
    assert graph_of(run) != graph_id
    monkeypatch.setenv("MMGA_HOME", str(home))
    assert totals(run)["events"] == 0
    assert document(run, "status")["graph"]["follows"] == 10


def graph_of(run: Run) -> str:
    """The id of the graph in the home."""
    import os

    from graphdb import open_graph
    from graphdb.settings import GraphSettings

    graph = open_graph(GraphSettings.from_environ(os.environ).graph_url, read_only=True)
    try:
        return graph.graph_id
    finally:
        graph.close()
