"""One process runs a stage; the kernel frees the lock of one that died."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from graphdb.errors import GraphUnavailable, StageBusy
from graphdb.stage import StageLock

HOLDER = """
import sys, time
from pathlib import Path
from graphdb.stage import StageLock
with StageLock(Path(sys.argv[1]), "ingest"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_process_is_told_who_holds_the_stage(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StageBusy, match=rf"process {holder.pid}\b"):
            StageLock(tmp_path, "ingest").__enter__()
        with StageLock(tmp_path, "statistics"):
            pass
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    with StageLock(tmp_path, "ingest"):
        assert (tmp_path / "ingest.lock").read_text() == f"{os.getpid()}\n"


def test_a_home_that_cannot_be_locked(tmp_path: Path) -> None:
    (tmp_path / "home").touch()
    with pytest.raises(GraphUnavailable, match="MMGA_HOME"):
        StageLock(tmp_path / "home", "ingest").__enter__()
