"""One side of the comparison: a checkout whose commands are run, and what they leave as values."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil

from benchmarks.unchanged.comparing import replaced
from benchmarks.unchanged.reading import Reader, Values
from benchmarks.unchanged.renamed import CHECKPOINTS, OPTIONS, PLACES, RUNS

HERE = Path(__file__).resolve().parent
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MMGA_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "PYTHONHASHSEED": "0",
    "PYTHONPYCACHEPREFIX": str(Path(tempfile.gettempdir()) / "mmga-unchanged-bytecode"),
}
OTHERS = ("MMGA_", "RAY_", "PYTHON", "MLFLOW_")
"""Variables that begin so are not passed on: they say how somebody else runs the commands."""

ALONE = "one worker"
VARIANTS: dict[str, tuple[str, ...]] = {
    ALONE: (),
    "two workers": ("--workers", "2"),
    "database sampler": ("--sampler", "database"),
}
KILLED = "killed and resumed"
CHECKPOINT = "a checkpoint"
DRAWS = "draws"
CHOICES = (*VARIANTS, KILLED, DRAWS)
"""Groups that can be left out, but for the first of them."""

POLL_SECONDS = 0.02
WRITTEN_SECONDS = 1_780_000_000
"""When the network's files were written: labels have that time, which must not be in the future."""

Outcome = dict[str, Values]
"""Values by group."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is run: the network (None: the demo's), options of training, when it is killed."""

    name: str
    num_users: int | None
    options: tuple[str, ...]
    kill_after_step: int


FULL = Size(name="full", num_users=None, options=(), kill_after_step=125)
QUICK = Size(
    name="quick",
    num_users=80,
    options=(
        "schedule.num_phase0_steps=4",
        "schedule.num_rounds=1",
        "schedule.num_encoder_steps=4",
        "schedule.num_graph_steps=4",
        "schedule.num_steps_per_checkpoint=2",
        "schedule.num_lm_posts=8",
        "schedule.num_alignment_pairs=8",
        "schedule.num_contrast_pairs=8",
        "schedule.num_contrast_posts=4",
        "schedule.num_edge_targets=256",
        "schedule.encoder_learning_rate=1e-4",  # faster, so short a training ends in a collapse
    ),
    kill_after_step=6,
)


class Side:
    """Runs the commands of a checkout in a folder of its own."""

    def __init__(self, checkout: Path, work: Path, arrays: Path, size: Size) -> None:
        self.checkout, self.work, self.size = checkout.resolve(), work.resolve(), size
        self.arrays = arrays
        self.work.mkdir(parents=True)

    def outcome(self, only: Collection[str] = CHOICES) -> Outcome:
        """All that is compared, or no more than these choices; a line on stderr for each group."""
        found: Outcome = {}
        started = time.monotonic()
        for name, values in self.groups(only):
            found[name] = values
            seconds, started = time.monotonic() - started, time.monotonic()
            print(f"  {name}: {len(values):,} values, {seconds:.0f} s", file=sys.stderr)
        return found

    def groups(self, only: Collection[str]) -> Iterator[tuple[str, Values]]:
        """Group by group."""
        network, ingested = self.work / "network", self.work / "ingested"
        self.probe("network", folder=str(network), num_users=self.size.num_users)
        for path in network.rglob("*"):
            os.utime(path, (WRITTEN_SECONDS, WRITTEN_SECONDS))
        yield "network", self.reader(network).whole_files(network)
        yield "graph", self.ingest(network, ingested)
        for name, options in VARIANTS.items():
            if name in {ALONE, *only}:
                yield name, self.train(self.home(ingested, name), options)
        if KILLED in only:
            home = self.home(ingested, KILLED)
            yield CHECKPOINT, self.kill(home)
            yield KILLED, self.train(home, (), start=1)
        if DRAWS in only:
            yield DRAWS, self.draws(self.work / ALONE)

    def reader(self, home: Path) -> Reader:
        """Reads what lies in a home."""
        return Reader(self.arrays, {home: "HOME", self.work: "WORK"})

    def home(self, ingested: Path, name: str) -> Path:
        """A copy of the home as it was before any training."""
        return Path(shutil.copytree(ingested, self.work / name))

    def ingest(self, network: Path, home: Path) -> Values:
        """Events and labels into a graph."""
        self.mmga(home, "ingest", "--events", str(network / "events.jsonl"))
        self.mmga(home, "labels", "import", str(network / "labels.jsonl"))
        digest = self.mmga(home, "digest").strip()
        return self.reader(home).folder(home) | {"mmga digest": digest}

    def train(self, home: Path, options: Sequence[str], *, start: int = 0) -> Values:
        """Train to the end; what lies in the home then, and what the command printed."""
        told = self.mmga(home, *self.command(options), "--json", start=start)
        (home / "report.json").write_text(told, encoding="utf-8")
        return self.reader(home).folder(home)

    def command(self, options: Sequence[str]) -> list[str]:
        """The arguments of `mmga train`."""
        settings = [f"--set={self.option(each)}" for each in self.size.options]
        return ["train", "--recipe", "tiny", "--seeds", "1", *settings, *options]

    def option(self, assignment: str) -> str:
        """The assignment by the name that this side knows."""
        known = assignment.partition(".")[0] in self.config
        return assignment if known else replaced(assignment, OPTIONS)

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """The recipe's config, as this side shows it."""
        shown: Mapping[str, Any] = json.loads(
            self.mmga(self.work / "show", "train", "--recipe", "tiny", "--show")
        )
        return shown

    def kill(self, home: Path) -> Values:
        """Train, and SIGKILL all of it after a checkpoint, whose values these are.

        Raises RuntimeError where training ends before, or was faster than we are.
        """
        with self.log(home).open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "mmga", *self.command(())],
                env=self.environ(home, start=0),
                cwd=self.checkout,
                stdout=log,
                stderr=log,
            )
        number = f"{self.size.kill_after_step:08d}"
        patterns = [f"{folder}/{number}.json" for folder in CHECKPOINTS]
        try:
            while not any(True for each in patterns for _ in home.glob(each)):
                if process.poll() is not None:
                    raise RuntimeError(f"training ended before step {number}: {self.tail(home)}")
                time.sleep(POLL_SECONDS)
        finally:
            end(process)
        [folder] = [path for each in CHECKPOINTS for path in home.glob(each)]
        if not (folder / f"{number}.safetensors").exists():
            raise RuntimeError(f"the checkpoint of step {number} is gone: the kill came too late")
        read = self.reader(home)
        return read.file(folder / f"{number}.safetensors", "checkpoint.safetensors") | read.file(
            folder / f"{number}.json", "checkpoint.json"
        )

    def draws(self, home: Path) -> Values:
        """What evaluation and training draw, by the run in a home."""
        [run] = [path.parent for each in RUNS for path in home.glob(each)]
        output = self.work / "draws.json"
        self.probe("draws", home=str(home), run=str(run), output=str(output))
        found: Values = json.loads(output.read_text(encoding="utf-8"))
        return {f"draws:{name}": text for name, text in found.items()}

    def probe(self, what: str, **arguments: Any) -> None:
        """Run the probe with the checkout's code."""
        told = json.dumps(arguments | {"places": PLACES})
        self.python(self.work / "probe", ["-P", str(HERE / "probe.py"), what, told], start=0)

    def mmga(self, home: Path, *arguments: str, start: int = 0) -> str:
        """Run a command as a person would; what it prints. Raises RuntimeError."""
        return self.python(home, ["-m", "mmga", *arguments], start=start)

    def python(self, home: Path, arguments: Sequence[str], *, start: int) -> str:
        """Run Python in the checkout. Raises RuntimeError with the end of what it said."""
        with self.log(home).open("ab") as log:
            done = subprocess.run(
                [sys.executable, *arguments],
                env=self.environ(home, start=start),
                cwd=self.checkout,
                stdout=subprocess.PIPE,
                stderr=log,
                check=False,
            )
        if done.returncode:
            raise RuntimeError(f"{' '.join(arguments)} failed: {self.tail(home)}")
        return done.stdout.decode()

    def environ(self, home: Path, *, start: int) -> Mapping[str, str]:
        """The environment of a command: nothing of whoever compares, ids and clocks pinned."""
        passed = {name: value for name, value in os.environ.items() if not name.startswith(OTHERS)}
        return (
            passed
            | ENVIRONMENT
            | {
                "MMGA_HOME": str(home),
                "PYTHONPATH": os.pathsep.join((str(HERE / "pins"), str(self.checkout))),
                "UNCHANGED_ROOT": str(self.checkout),
                "UNCHANGED_START": str(start),
                "UNCHANGED_PARENT": str(os.getpid()),
            }
        )

    def log(self, home: Path) -> Path:
        """Where a command's messages go."""
        return self.work / f"{home.name}.log"

    def tail(self, home: Path) -> str:
        """The end of the messages."""
        return self.log(home).read_text("utf-8", errors="replace")[-3000:]


def end(process: "subprocess.Popen[bytes]") -> None:
    """SIGKILL to the command and all that it has started."""
    with suppress(psutil.NoSuchProcess):
        started = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        for each in started:
            with suppress(psutil.NoSuchProcess):  # Ray's workers end with their raylet
                each.kill()
    process.wait()
