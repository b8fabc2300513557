"""A setting that cannot be used ends a command before it writes anything, in one line."""

import os
import re
from pathlib import Path

import pytest

import mmga
from foundation import settings
from foundation.settings import Variable
from tests.compose.test_settings import names_in_table
from tests.ingest.made import follow_lines

INGEST = {"MMGA_PROJECT": "a b", "MMGA_METRICS_PORT": "http", "MMGA_KAFKA_ACKS": "0"}
EVENTS = {"MMGA_EVENTS_URL": "kafka://host/topic"}
GRAPH = {"MMGA_GRAPH_URL": "mysql://me:sesame@host/db"}
FEATURES = {
    "MMGA_ONLINE_STORE_URL": "redis://me:sesame@host:port",
    "MMGA_REGISTRY_URL": "mysql://me:sesame@host/db",
    "MMGA_ARTIFACTS_URL": "s3://bucket/folder",
}
TRAINING = {"MMGA_THREADS": "0", "MMGA_FETCH_REMOTE_IMAGES": "maybe", "MMGA_KEEP_RUNS": "0"}
SERVING = {"MMGA_PORT": "80x"}
STORES = GRAPH | FEATURES

COMMANDS: list[tuple[str, dict[str, str]]] = [
    ("ingest --events e.jsonl", INGEST | EVENTS | STORES),
    ("ingest --events kafka://host:99999", {"MMGA_EVENTS_URL": ""}),
    ("labels import e.jsonl", INGEST | STORES),
    ("dead-letters replay", INGEST | EVENTS | STORES),
    ("statistics", INGEST | STORES),
    ("status", INGEST | EVENTS | STORES),
    ("topics", INGEST | EVENTS),
    ("publish e.jsonl", INGEST | EVENTS),
    ("train --recipe smoke", STORES | TRAINING),
    ("generations activate g1", STORES),
    ("generations list", FEATURES),
    ("lookup ann", STORES),
    ("serve", STORES | SERVING),
    ("import .", INGEST | STORES),
    ("demo", {"MMGA_THREADS": "0"}),
]
CASES = [(words, name, text) for words, given in COMMANDS for name, text in given.items()]


@pytest.mark.parametrize(("words", "name", "text"), CASES)
def test_it_is_checked_before_anything_is_written(
    words: str,
    name: str,
    text: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for each in [each for each in os.environ if each.startswith("MMGA_")]:
        monkeypatch.delenv(each)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(name, text)
    (tmp_path / "e.jsonl").write_bytes(follow_lines(1)[0])
    with pytest.raises(SystemExit) as stop:
        mmga.main(words.split())
    error = capsys.readouterr().err
    assert stop.value.code == 1
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert name in error or "kafka://host" in error
    assert "sesame" not in error
    assert "--debug" not in error
    assert [path.name for path in tmp_path.iterdir()] == ["e.jsonl"]


def test_the_list_in_the_documents_is_complete() -> None:
    declared = [each.name for each in vars(settings).values() if isinstance(each, Variable)]
    assert sorted(names_in_table()) == sorted([*declared, f"{settings.KAFKA_PREFIX}…"])


@pytest.mark.parametrize("name", ["q?x", "a#b%20c 100%;d&e=f"])
def test_each_character_of_a_path_stands_for_itself(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for each in [each for each in os.environ if each.startswith("MMGA_")]:
        monkeypatch.delenv(each)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MMGA_HOME", name)
    (tmp_path / "e.jsonl").write_bytes(b"\n".join(follow_lines(3)))
    mmga.main(["ingest", "--events", "e.jsonl"])
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["e.jsonl", name])
    made = {path.name for path in (tmp_path / name).iterdir()}
    assert {"graph.db", "online.db", "registry.db", "history"} <= made
    mmga.main(["status"])
    assert re.search(r"statistics +at version \d+, up to date", capsys.readouterr().out)
