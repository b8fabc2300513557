"""`python -m benchmarks unchanged COMMIT`: does this working tree compute what COMMIT computes?

Both are run on this machine, since bits differ between processors, with the same ids, the same wall
clock and one thread: a generated network, ingest, and trainings with one worker, with two, with
neighbours out of the database, and one that is killed and resumed. Each file that they leave is
compared value by value, as are the pairs and batches that are drawn. The exit status is 1 where
anything differs. What COMMIT left is kept, so that the next comparison with it runs this side only.
"""

import argparse
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from benchmarks.unchanged.comparing import Comparison, compare
from benchmarks.unchanged.side import (
    ALONE,
    CHOICES,
    ENVIRONMENT,
    FULL,
    HERE,
    KILLED,
    QUICK,
    Outcome,
    Side,
    Size,
)

REPOSITORY = HERE.parents[1]
VALUES = "values.json"
NOT_KEPT = {"command.py", "comparing.py", "renamed.py"}
"""Of our own files those on which an outcome does not depend."""


def main(arguments: Sequence[str]) -> int:
    """Compare, and print one line for each group, more where it differs."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks unchanged", description=__doc__)
    parser.add_argument("commit", metavar="COMMIT", help="what to compare with")
    parser.add_argument("--quick", action="store_true", help="a small network, a few steps")
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="where COMMIT's outcome is kept, or found"
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=CHOICES,
        help="compare no more than network, graph, one worker and this; may be given several times",
    )
    given = parser.parse_args(arguments)
    size = QUICK if given.quick else FULL
    commit = git("rev-parse", "--verify", f"{given.commit}^{{commit}}").decode().strip()
    kept = given.keep or Path(tempfile.gettempdir()) / f"mmga-unchanged-{commit}-{size.name}"
    kept = kept / key(commit, size)
    wanted = {ALONE, *(given.only or CHOICES)}
    old = outcome_of_commit(commit, size, kept, wanted)
    with temporary_folder() as folder:
        print("this working tree", file=sys.stderr)
        checkout, arrays = folder / "checkout", folder / "arrays"
        copy_working_tree(checkout)
        new = Side(checkout, folder / "work", arrays, size).outcome(wanted)
        found = [
            compare(group, old[group], values, arrays=(kept / "arrays", arrays))
            for group, values in new.items()
        ]
        if KILLED in new:
            found.append(resumed(new, arrays))
    for each in found:
        print(each)
    return 1 if any(each.differences for each in found) else 0


def resumed(outcome: Outcome, arrays: Path) -> Comparison:
    """A training that was killed and resumed beside the undisturbed one of the same side."""
    group = f"{KILLED} beside undisturbed, here"
    return compare(group, outcome[ALONE], outcome[KILLED], arrays=(arrays, arrays))


def outcome_of_commit(commit: str, size: Size, kept: Path, wanted: Set[str]) -> Outcome:
    """What is kept of it, or what its code leaves now, which is kept then."""
    values = kept / VALUES
    found: Outcome = json.loads(values.read_text(encoding="utf-8")) if values.exists() else {}
    if wanted <= found.keys():
        print(f"{commit[:12]}, as kept in {kept}", file=sys.stderr)
        return found
    print(f"{commit[:12]}, to be kept in {kept}", file=sys.stderr)
    with temporary_folder() as folder:
        checkout = folder / "checkout"
        with tarfile.open(fileobj=BytesIO(git("archive", commit))) as archive:
            archive.extractall(checkout, filter="data")
        side = Side(checkout, folder / "work", kept / "arrays", size)
        found |= side.outcome(wanted)
    draft = kept / f"{VALUES}.partial"
    draft.write_text(json.dumps(found), encoding="utf-8")
    draft.replace(kept / VALUES)
    return found


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that goes with the block, and with it what Python has compiled of it elsewhere."""
    with tempfile.TemporaryDirectory(prefix="mmga-unchanged-") as name:
        folder = Path(name).resolve()
        try:
            yield folder
        finally:
            compiled = Path(ENVIRONMENT["PYTHONPYCACHEPREFIX"]) / folder.relative_to("/")
            shutil.rmtree(compiled, ignore_errors=True)


def copy_working_tree(folder: Path) -> None:
    """All files that git does not ignore, as they are now: work may go on while we compare."""
    listed = git("ls-files", "-z", "--cached", "--others", "--exclude-standard").decode()
    for name in sorted({*listed.split("\0")} - {""}):
        source, place = REPOSITORY / name, folder / name
        if source.is_file():  # not one that is deleted and still tracked
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, place)


def key(commit: str, size: Size) -> str:
    """What an outcome depends on beside the code: commit, size, how it is read, the machine."""
    content = hashlib.blake2b(f"{commit} {size} {sys.version} {processor()}".encode())
    for path in sorted(HERE.rglob("*.py")):
        if path.name not in NOT_KEPT:
            content.update(path.read_bytes())
    return content.hexdigest()[:16]


def processor() -> str:
    """What this machine computes with."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    told = {line for line in lines if line.startswith(("model name", "flags"))}
    return f"{platform.machine()} {os.cpu_count()} {sorted(told)}"


def git(*arguments: str) -> bytes:
    """What git answers about this repository."""
    command = ["git", "-C", str(REPOSITORY), *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
