"""What tests ask of workers."""

import signal
import subprocess

from tests.ingest.conftest import Run
from tests.ingest.kafka.conftest import document


def lag(run: Run) -> int:
    """Messages that the graph does not hold; 1 as long as a worker has not made the graph."""
    if run("status").status:
        return 1
    found: int = document(run, "status")["stages"]["ingest"]["lag_messages"]
    return found


def ingested(run: Run, num_follows: int) -> bool:
    """Whether the graph holds so many follows."""
    if run("status").status:
        return False
    found: int = document(run, "status")["graph"]["follows"]
    return found == num_follows


def stop(worker: subprocess.Popen[str]) -> int:
    """Ask a worker to end; return its exit status."""
    worker.send_signal(signal.SIGTERM)
    return worker.wait(20)
