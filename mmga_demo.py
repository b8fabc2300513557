"""`mmga demo`: the whole loop on one machine; each step runs a command of `mmga`."""

import importlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

import click

from foundation.settings import HOME, THREADS
from graphdb.stage import StageLock

STAGE = "demo"
WRITERS = ("ingest", "statistics", "train", "publishing")
"""Stages whose locks are held in a home while it is emptied."""

MARK = ".made-by-mmga-demo"
"""The file that a home of the demo bears; it holds the home's path, so a copy bears none."""

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@click.command()
@click.option(
    "--events",
    type=click.Path(path_type=Path, exists=True),
    help="Event file to use instead of a generated network.",
)
@click.option(
    "--seeds",
    type=click.IntRange(1),
    help="Number of random seeds; one network is trained for each.",
)
def demo(events: Path | None, seeds: int | None) -> None:
    """Run the whole loop on one machine, in MMGA_HOME/demo.

    What an earlier demo left there is deleted first; a folder that no demo made is refused.
    """
    parent = HOME.read(os.environ).resolve()
    home = parent / "demo"
    THREADS.read(os.environ)
    if events and events.resolve().is_relative_to(home):
        raise click.UsageError(f"{home} is emptied first: copy {events} to another folder")
    with StageLock(parent, STAGE):
        prepare_home(home)
        run_steps(DemoSteps(home), events, seeds)


def run_steps(steps: "DemoSteps", events: Path | None, seeds: int | None) -> None:
    """Run the commands of the demo in its home."""
    home = steps.home
    if events is None:
        steps.tell("Generate a social network: communities, posts with images, invalid events.")
        events = generate_network(home / "network")
        seeds = seeds or 1
    steps.tell("Write the events to the graph. Duplicates and late events change nothing; invalid")
    steps.more("ones go to the dead letters. Then write statistics of users to the feature store.")
    steps.run("ingest", "--events", str(events))
    if (labels := events.parent / "labels.jsonl").is_file():
        steps.tell("Import labels of users, as events.")
        steps.run("labels", "import", str(labels))
    steps.tell("List the events that could not be applied, with reasons.")
    steps.run("dead-letters", "list")
    steps.tell("Show the content of the graph and the progress of each stage.")
    steps.run("status")
    steps.tell(
        "Train user vectors from images, texts and follows, evaluate them on held-out follows"
    )
    steps.more("beside baselines, and publish them as a new generation.")
    steps.run("train", "--recipe", "tiny", *(["--seeds", str(seeds)] if seeds else []))
    user = most_followed(home)
    steps.tell("Look up the features of a user.")
    steps.run("lookup", user)
    steps.tell("Find the users most similar to that one.")
    steps.run("similar", user)
    steps.close(user)


class DemoSteps:
    """Prints each step with its command, and runs the command in a subprocess."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.number = 0

    def tell(self, text: str) -> None:
        """Print the heading of a step."""
        self.number += 1
        click.secho(f"\n{self.number}. {text}", bold=True)

    def more(self, text: str) -> None:
        """Print another line of the step's text."""
        click.secho(f"   {text}", bold=True)

    def run(self, *arguments: str) -> None:
        """Print one command and run it in the demo's home; a failure ends the demo."""
        click.secho(f"   $ mmga {' '.join(arguments)}", fg="cyan")
        sys.stdout.flush()
        command = [sys.executable, "-m", "mmga", *arguments]
        if status := run_command(command, embedded(self.home, os.environ)):
            click.echo(f"the demo ended with `mmga {arguments[0]}`", err=True)
            raise SystemExit(status)

    def close(self, user: str) -> None:
        """Print the location of the results and further commands."""
        click.secho("\nAll of it lies in", bold=True, nl=False)
        click.echo(f" {self.home}")
        for name, what in RESULTS.items():
            click.echo(f"   {name:<16}{what}")
        click.secho("\nTry next:", bold=True)
        click.echo(f"   export MMGA_HOME={self.home}")
        click.echo("   mmga serve            # then open http://127.0.0.1:8000/")
        click.echo(f"   curl http://127.0.0.1:8000/v1/users/{user}")
        click.echo("   mmga generations list")
        click.echo("   mmga ingest --events YOUR_EVENTS.jsonl")


RESULTS = {
    "graph.db": "the social graph and its stream positions",
    "online.db": "online features, in Feast's own layout",
    "registry.db": "Feast's registry of them",
    "history/": "features as they were, for training sets as of a time",
    "snapshots/": "frozen graphs that training runs are reproducible from",
    "generations/": "each trained model with its evaluation",
}


def prepare_home(home: Path) -> None:
    """Make the demo's home, without what an earlier demo left in it.

    Raises UsageError for a folder that no demo made, StageBusy while a command writes to it.
    """
    if home.is_symlink() or (home.exists() and not (is_marked(home) or is_empty(home))):
        raise click.UsageError(
            f"{home} was not made by `mmga demo`, which would empty it: move it away, or set"
            " MMGA_HOME to another folder"
        )
    home.mkdir(exist_ok=True)
    (home / MARK).write_bytes(mark_of(home))
    empty(home)


def mark_of(home: Path) -> bytes:
    """The content of a home's mark."""
    return os.fsencode(f"{home}\n")


def is_marked(home: Path) -> bool:
    """Whether an earlier demo made this folder."""
    mark = home / MARK
    return mark.is_file() and mark.read_bytes() == mark_of(home)


def is_empty(folder: Path) -> bool:
    """Whether a path is a folder with nothing in it."""
    return folder.is_dir() and not any(folder.iterdir())


def empty(home: Path) -> None:
    """Delete what a home holds but its mark. Raises StageBusy while a command writes to it."""
    with ExitStack() as locks:
        for stage in WRITERS:
            locks.enter_context(StageLock(home, stage))
        for path in home.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.name != MARK:
                path.unlink()


def run_command(command: list[str], environ: dict[str, str]) -> int:
    """Run a command in a process group of its own, and return its exit status.

    A signal is passed on to it, and the command is waited for; the status is then 128 and the
    signal's number.
    """
    relay = SignalRelay()
    with (
        relay.listening(),
        subprocess.Popen(command, env=environ, process_group=0) as process,  # noqa: S603
    ):
        relay.to(process)
        status = process.wait()
    if relay.number is not None:
        return 128 + relay.number
    return status if status >= 0 else 128 - status


class SignalRelay:
    """Passes the signals that this process receives on to another one."""

    def __init__(self) -> None:
        self.number: int | None = None
        """The last signal."""
        self._process: subprocess.Popen[bytes] | None = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Handle signals, but for those that this process was told to ignore."""
        heard = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
        former = [signal.signal(number, self._receive) for number in heard]
        try:
            yield
        finally:
            for number, handler in zip(heard, former, strict=True):
                signal.signal(number, handler)

    def to(self, process: "subprocess.Popen[bytes]") -> None:
        """Pass signals on to this process, one that came before included."""
        self._process = process
        if self.number is not None:
            process.send_signal(self.number)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.number = number
        if self._process is not None:
            self._process.send_signal(number)


def embedded(home: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """An environment whose settings name this home and no servers."""
    others = {name: text for name, text in environ.items() if not name.startswith("MMGA_")}
    kept = {name: environ[name] for name in (THREADS.name,) if name in environ}
    return {**others, **kept, HOME.name: str(home)}


def generate_network(folder: Path) -> Path:
    """Write a generated network and return its events."""
    synthetic = importlib.import_module("ingest.synthetic")
    events: Path = synthetic.write_synthetic_network(folder).events
    return events


def most_followed(home: Path) -> str:
    """The user with the most followers."""
    graphdb = importlib.import_module("graphdb")
    numpy = importlib.import_module("numpy")
    store = graphdb.open_graph(f"sqlite:///{home}/graph.db", read_only=True)
    follows = store.follows()
    store.close()
    user: str = follows.user_ids[int(numpy.bincount(follows.followees).argmax())]
    return user
