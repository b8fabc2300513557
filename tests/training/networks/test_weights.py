"""A run means the same files wherever its workers have their current folder."""

from pathlib import Path

import pytest

from training.cli.train import with_absolute_weights
from training.networks.weights import absolute_weights
from training.settings import TrainingSettings


def test_the_graph_is_found_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for environ, place in (
        ({}, tmp_path / ".mmga" / "graph.db"),
        ({"MMGA_HOME": "here"}, tmp_path / "here" / "graph.db"),
        ({"MMGA_GRAPH_URL": "sqlite:///other.db"}, tmp_path / "other.db"),
        ({"MMGA_GRAPH_URL": f"sqlite:///{tmp_path}/other.db"}, tmp_path / "other.db"),
    ):
        assert TrainingSettings.from_environ(environ).graph_url == f"sqlite:///{place}"
    url = "neo4j://me:secret@host:7687/graph"
    assert TrainingSettings.from_environ({"MMGA_GRAPH_URL": url}).graph_url == url


def test_folders_of_weights_are_absolute_and_other_names_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights").mkdir()
    for given, kept in (
        ("weights", str(tmp_path / "weights")),
        ("./missing", str(tmp_path / "missing")),
        ("package:some/folder", "package:some/folder"),
        ("google/vit-base-patch16-224-in21k", "google/vit-base-patch16-224-in21k"),
    ):
        assert absolute_weights(given) == kept
        assert with_absolute_weights(f"text.pretrained={given}") == f"text.pretrained={kept}"
    for other in ("text.pretrained=none", "graph.edges=weights"):
        assert with_absolute_weights(other) == other
