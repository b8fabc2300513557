"""The Python of docs/sampling.md runs as it stands against a Neo4j server, and learns."""

import re
from pathlib import Path

import numpy as np
import pytest

from tests.graphdb.made_facts import batch_of, follow, label, profile
from tests.graphdb.neo4j_database import TestDatabase

DOCUMENT = Path(__file__).parents[2] / "docs" / "sampling.md"
NUM_USERS = 180
TOPICS = ("art", "sport", "war")


def network() -> list[object]:
    """Users who follow those of their topic, and whose profiles tell it only roughly."""
    rng = np.random.default_rng(0)
    topic = np.arange(NUM_USERS) % len(TOPICS)
    rate = np.where(topic[:, None] == topic, 0.2, 0.01)
    both = np.triu(rng.random((NUM_USERS, NUM_USERS)) < rate, 1)
    names = [f"u{number:03}" for number in range(NUM_USERS)]
    facts: list[object] = []
    for number, name in enumerate(names):
        count = int(np.exp(rng.normal(3 + 2 * topic[number], 1.2)))
        facts.append(profile(name, 1, follower_count=count))
        facts.append(label("user", name, 1, TOPICS[topic[number]]))
    for u, v in np.argwhere(both):
        facts += [follow(names[u], names[v], 1), follow(names[v], names[u], 1)]
    return facts


def test_the_document_trains_a_stock_graphsage_from_neo4j_and_from_a_snapshot(
    database: TestDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.open().apply(batch_of(network()))  # type: ignore[arg-type]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MMGA_GRAPH_URL", database.url)
    blocks = re.findall(r"^```python\n(.*?)^```$", DOCUMENT.read_text("utf-8"), re.M | re.S)
    assert len(blocks) == 5
    names: dict[str, object] = {}
    for number, block in enumerate(blocks):
        exec(compile(block, f"{DOCUMENT.name}, block {number + 1}", "exec"), names)
    accuracy, losses = names["accuracy"], names["losses"]
    assert isinstance(accuracy, dict)
    assert isinstance(losses, dict)
    assert set(accuracy) == set(losses) == {"database", "snapshot"}
    assert min(accuracy.values()) > 0.85
    assert abs(accuracy["database"] - accuracy["snapshot"]) < 0.1
    for each in losses.values():
        assert each[-1] < each[0]
        assert each[-1] < np.log(2)
