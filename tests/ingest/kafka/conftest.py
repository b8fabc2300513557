"""A project of its own for each test on the one broker, so that topics and groups are new."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaProducer

from ingest.dead_letters.file import DeadLetterFile
from ingest.pipeline import Pipeline
from ingest.sources.files import FileSource
from tests.graphdb.oracle import GraphOracle
from tests.ingest.conftest import REPOSITORY, Run
from tests.servers import Server

WAIT_SECONDS = 60.0
SESSION_SECONDS = 6
"""The shortest that a broker allows without being told otherwise."""

Start = Callable[..., subprocess.Popen[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """The topics of one project, and the ways in which tests reach them."""

    server: Server
    project: str
    admin: Any
    producer: Any

    @property
    def address(self) -> str:
        return self.server.url.removeprefix("kafka://")

    def topic(self, kind: str = "follows") -> str:
        return f"{self.project}.instagram.{kind}"

    def create(self, *kinds: str, partitions: int = 3, **configs: str) -> None:
        topics = {
            self.topic(kind): {"num_partitions": partitions, "configs": configs} for kind in kinds
        }
        self.admin.create_topics(topics, wait_for_metadata=True)

    def send(
        self,
        values: Sequence[bytes | None],
        kind: str = "follows",
        *,
        keys: Sequence[bytes | None] = (),
        partition: int | None = None,
    ) -> None:
        futures = [
            self.producer.send(
                self.topic(kind),
                value,
                key=keys[index] if keys else str(index).encode(),
                partition=partition,
            )
            for index, value in enumerate(values)
        ]
        self.producer.flush()
        for future in futures:
            future.get(timeout=10)

    def environ(self, home: Path) -> Mapping[str, str]:
        return {
            "MMGA_HOME": str(home),
            "MMGA_PROJECT": self.project,
            "MMGA_EVENTS_URL": self.server.url,
        }


@pytest.fixture(scope="session")
def clients(kafka_server: Server) -> Iterator[tuple[Any, Any]]:
    """An admin client and a producer for all tests."""
    address = kafka_server.url.removeprefix("kafka://")
    admin = KafkaAdminClient(bootstrap_servers=address)
    producer = KafkaProducer(
        bootstrap_servers=address,
        linger_ms=5,
        max_request_size=4 << 20,
        acks="all",
        allow_auto_create_topics=False,
    )
    yield admin, producer
    producer.close()
    admin.close()


@pytest.fixture
def stream(
    kafka_server: Server, clients: tuple[Any, Any], home: Path, monkeypatch: pytest.MonkeyPatch
) -> Stream:
    """Topics that only this test uses; commands of this process read from them."""
    made = Stream(
        server=kafka_server,
        project=f"test_{uuid.uuid4().hex[:8]}",
        admin=clients[0],
        producer=clients[1],
    )
    for name, value in made.environ(home).items():
        monkeypatch.setenv(name, value)
    return made


def digest_of(path: Path) -> str:
    """What the graph has to be after these events, by the oracle."""
    graph = GraphOracle()
    letters = DeadLetterFile(path.with_name(f"{path.name}.letters"))
    pipeline = Pipeline(FileSource(path), graph, letters, batch_size=10_000)
    while pipeline.step():
        pass
    pipeline.close()
    return graph.digest()


def write(path: Path, lines: Sequence[bytes]) -> Path:
    path.write_bytes(b"".join(text + b"\n" for text in lines))
    return path


def totals(run: Run, *arguments: str) -> dict[str, float]:
    """What one run of ingest says that it has done."""
    found: dict[str, float] = document(run, "ingest", "--no-statistics", *arguments)
    return found


def document(run: Run, *arguments: str) -> Any:
    """What a command prints with --json."""
    outcome = run(*arguments, "--json")
    assert outcome.status == 0, outcome.err
    return json.loads(outcome.last_line)


def until(condition: Callable[[], bool], seconds: float = WAIT_SECONDS) -> None:
    """Wait for something that another process does."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it has not come about in time"
        time.sleep(0.1)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts workers that follow; kills those that are left."""
    started: list[subprocess.Popen[str]] = []

    def start_worker(**environ: str) -> subprocess.Popen[str]:
        log = (tmp_path / f"worker{len(started)}.log").open("w")
        worker = subprocess.Popen(
            [sys.executable, "-m", "mmga", "ingest", "--follow", "--no-statistics",
             "--batch-size", "500"],
            cwd=REPOSITORY,
            env={
                **os.environ,
                "MMGA_KAFKA_SESSION_TIMEOUT_MS": str(SESSION_SECONDS * 1000),
                "MMGA_KAFKA_HEARTBEAT_INTERVAL_MS": "500",
                "MMGA_KAFKA_METADATA_MAX_AGE_MS": "1000",
                **environ,
            },
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )  # fmt: skip
        started.append(worker)
        return worker

    yield start_worker
    for worker in started:
        with suppress(ProcessLookupError):
            worker.send_signal(signal.SIGCONT)
        worker.kill()
        worker.wait()
    for log in tmp_path.glob("worker*.log"):
        print(log.name, log.read_text())  # pytest shows it where a test fails
