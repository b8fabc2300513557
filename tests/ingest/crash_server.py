"""Runs the real command in forked children that die by SIGKILL at a chosen moment.

    python -m tests.ingest.crash_server MODULES < jobs

The server has imported all that the command needs (the names in the file MODULES) and has opened
no database, so that a child costs a fork. In a child, a trace callback on each connection to
graph.db and online.db hears every statement before it runs; replaced `os.fsync`, `os.replace` and
`os.unlink` hear what else reaches the disk. These are the moments. The product has no hook for
this.

The process of the statistics is a fork as well, made before anything is open and told of the pipe
when the command would start it. Its moments have places of their own, and it dies with the command.

A job is one line of JSON: the home and arguments of the command; `kill`, the (place, text, number)
of the moment at which the child dies; `record`, where it writes the moments it has seen; `dump`,
where it writes digest, counts and features after the command; `constants`, the (module, name,
value) that make rare work happen on little data. The answer is the exit status, negative for a
signal.
"""

import contextlib
import importlib
import json
import os
import re
import signal
import socket
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

DATABASES = ("graph.db", "online.db")
LITERAL = re.compile(r"x?'(?:[^']|'')*'|-?\b\d+(?:\.\d+)?\b|\?\d+|:\w+|\bNULL\b")
EXIT = ("exit", "", 1)
STAGE = "statistics"

Moment = tuple[str, str, int]


class Moments:
    """Counts what happens, records it, and kills the command at the moment chosen."""

    def __init__(self, kill: Moment | None, *, command: int | None = None) -> None:
        self.seen: list[Moment] = []
        self._kill = kill
        self._command = command
        self._counts: Counter[tuple[str, str]] = Counter()

    def hear(self, place: str, text: str) -> None:
        """Something is about to happen."""
        place = place if self._command is None else f"{STAGE} {place}"
        self._counts[place, text] += 1
        moment = (place, text, self._counts[place, text])
        self.seen.append(moment)
        if moment == self._kill:
            for process in (self._command, os.getpid()):
                if process is not None:
                    os.kill(process, signal.SIGKILL)

    def listen(self) -> None:
        """Trace every connection, and what is flushed or renamed."""
        connect = sqlite3.connect

        def traced(database: Any, *arguments: Any, **options: Any) -> sqlite3.Connection:
            connection: sqlite3.Connection = connect(database, *arguments, **options)
            name = re.sub(r"^file:|\?.*$", "", str(database)).rpartition("/")[2]
            if name in DATABASES:
                connection.set_trace_callback(
                    lambda statement: self.hear(name, LITERAL.sub("?", statement))
                )
            return connection

        for module in (sqlite3, sqlite3.dbapi2):
            setattr(module, "connect", traced)  # noqa: B010 - mypy knows connect by its overloads
        for name in ("fsync", "replace", *(["unlink"] if self._command else [])):
            setattr(os, name, self._before(name, getattr(os, name)))

    def _before(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def heard(file: Any, *arguments: Any, **options: Any) -> Any:
            path = Path(f"/proc/self/fd/{file}").readlink() if isinstance(file, int) else Path(file)
            what = "folder" if path.is_dir() else re.sub("[0-9a-f]{8,}|[0-9]+", "?", path.name)
            self.hear("disk", f"{name} {what}")
            return function(file, *arguments, **options)

        return heard


class Stage:
    """The process of the statistics, which waits to be started; as `subprocess.Popen` is."""

    def __init__(self, job: dict[str, Any]) -> None:
        self._start, started = socket.socketpair()
        command = os.getpid()
        self._status: int | None = None
        self._id = os.fork()
        if self._id == 0:
            self._start.close()
            try:
                run_stage(job, started, command)
            finally:
                os._exit(99)
        started.close()

    def start(self, connection: Any, *, follow: bool) -> "Stage":
        socket.send_fds(self._start, [b"go"], [connection.fileno()])
        return self

    def wait(self, timeout: float | None = None) -> int:
        if self._status is None:
            self._start.close()
            self._status = os.waitstatus_to_exitcode(os.waitpid(self._id, 0)[1])
        return self._status

    def kill(self) -> None:
        if self._status is None:
            os.kill(self._id, signal.SIGKILL)


def run_stage(job: dict[str, Any], started: socket.socket, command: int) -> None:
    """The life of the process of the statistics; it does not return."""
    from ingest.statistics import worker

    worker.end_with(command)
    _, [descriptor], _, _ = socket.recv_fds(started, 16, 1)
    moments = heard_moments(job, command=command)
    worker.main([str(descriptor), str(command), "once"])
    moments.hear(*EXIT[:2])
    if job.get("record"):
        Path(f"{job['record']}.{STAGE}").write_text(json.dumps(moments.seen))
    if job.get("modules"):
        Path(f"{job['modules']}.{STAGE}").write_text("\n".join(sys.modules))
    os._exit(0)


def heard_moments(job: dict[str, Any], *, command: int | None = None) -> Moments:
    """The moments of this process, from now on if the job asks for them."""
    kill = job.get("kill")
    moments = Moments(tuple(kill) if kill else None, command=command)
    if kill or job.get("record"):
        moments.listen()
    return moments


def run_child(job: dict[str, Any]) -> None:
    """The life of a child; it does not return."""
    log = os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ["MMGA_HOME"] = job["home"]
    status = 0
    for module, name, value in job["constants"]:
        assert hasattr(importlib.import_module(module), name), (module, name)
        setattr(importlib.import_module(module), name, value)
    import mmga
    from ingest.statistics import process

    stage = Stage(job)
    process.launch = stage.start  # type: ignore[assignment]
    moments = heard_moments(job)
    try:
        mmga.main(job["arguments"])
    except SystemExit as stop:
        status = int(stop.code or 0)
    stage.wait()
    moments.hear(*EXIT[:2])
    if job.get("record"):
        Path(job["record"]).write_text(json.dumps(moments.seen))
    if job.get("dump"):
        Path(job["dump"]).write_text(json.dumps(dump_of(Path(job["home"]))))
    if job.get("modules"):
        of_stage = Path(f"{job['modules']}.{STAGE}").read_text().split()
        Path(job["modules"]).write_text("\n".join(sorted({*sys.modules, *of_stage})))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def dump_of(home: Path) -> dict[str, Any]:
    """Digest, counts, positions, dead letters, the features of all users and their history."""
    import numpy as np

    from featurestore.definitions import USER_ACTIVITY
    from featurestore.history import History
    from featurestore.online.open import open_online_store
    from featurestore.settings import FeatureStoreSettings
    from graphdb import open_graph
    from graphdb.statistics import STATISTICS
    from ingest.dead_letters.file import DeadLetterFile

    graph = open_graph(f"sqlite:///{home / 'graph.db'}", read_only=True)
    settings = FeatureStoreSettings.at(home)
    online = open_online_store(settings, read_only=True)
    history = History(settings).rows(USER_ACTIVITY).drop_columns(["created"])
    users = sorted(user for page in online.user_ids(USER_ACTIVITY) for user in page)
    rows = online.read(USER_ACTIVITY, users, STATISTICS)
    features = np.stack([rows.features[name] for name in STATISTICS], axis=1)
    counts = graph.counts()
    return {
        "digest": graph.digest(),
        "counts": [counts.users, counts.posts, counts.follows, counts.mutual_follows],
        "existing": graph.user_ids(),
        "positions": [[each.source, each.offset] for each in graph.positions()],
        "dead_letters": DeadLetterFile(home / "dead_letters.jsonl").count(),
        "users": users,
        "present": rows.present.tolist(),
        "features": features.tobytes().hex(),
        "history": sorted(repr(row) for row in history.to_pylist()),
    }


def serve(modules: Path) -> None:
    """Fork a child for each job, one after the other, and answer its exit status."""
    for name in modules.read_text().split():
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    for text in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                run_child(json.loads(text))
            finally:
                os._exit(99)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
