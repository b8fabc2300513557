"""Run by each side with its own code: `python -P probe.py WHAT ARGUMENTS`, a JSON object.

    network     writes the generated network: places, folder, num_users (none: as the demo)
    draws       what evaluation and training draw from a home: places, home, run, output

`places` say where each name is found, the first place that is there.
"""

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

NUM_STEPS = 3
"""Steps of each stage whose batches are drawn."""

SEED = 0
DRAWN = (
    ("test", "judging"),
    ("validation", "choosing"),
    ("examples",),
    ("counts_head",),
    ("is_cold",),
    ("topics",),
)
"""Parts of the evaluator by their names, those of today first."""

NOT_DRAWN = {"slices", "svd_products"}
"""Fields that one side alone has: the SVD was made later, by the slice of a pair."""


class Places:
    """Functions and classes by name, wherever this side has them."""

    def __init__(self, places: Mapping[str, Sequence[str]]) -> None:
        self.places = places

    def __getattr__(self, name: str) -> Any:
        for place in self.places[name]:
            module, _, attribute = place.partition(":")
            try:
                return getattr(import_module(module), attribute)
            except (ModuleNotFoundError, AttributeError):
                continue
        raise LookupError(f"{name} is in none of {self.places[name]}: add its place to PLACES")


def write_network(ours: Places, arguments: Mapping[str, Any]) -> None:
    """The generated network."""
    size = arguments["num_users"]
    given = {} if size is None else {"num_users": size}
    ours.write_synthetic_network(Path(arguments["folder"]), **given)


def write_draws(ours: Places, arguments: Mapping[str, Any]) -> None:
    """Digests of what is drawn, as a JSON object."""
    home, run = Path(arguments["home"]), ours.open_run(Path(arguments["run"]))
    snapshot = ours.open_snapshot(Path(run.snapshot))
    found = dict(evaluation_draws(ours, home, snapshot)) | dict(batches(ours, home, snapshot, run))
    Path(arguments["output"]).write_text(json.dumps(found), encoding="utf-8")


def evaluation_draws(ours: Places, home: Path, snapshot: Any) -> Iterator[tuple[str, str]]:
    """Universe, link pairs, pair examples, and the heads over counts that follow from them."""
    seed = ours.content_seed(snapshot.graph, SEED, "universe")
    universe = ours.pair_universe(snapshot.graph, snapshot.user_ids, seed)
    yield from digests("universe", universe)
    evaluator = ours.prepare_evaluator(snapshot, user_texts(ours, home, snapshot), seed=SEED)
    for name, *earlier in DRAWN:
        drawn = next(
            getattr(evaluator, each) for each in (name, *earlier) if hasattr(evaluator, each)
        )
        yield from digests(f"evaluator.{name}", drawn)


def user_texts(ours: Places, home: Path, snapshot: Any) -> Any:
    """The words of each user: pinned beside the snapshot, or as the graph has them."""
    try:
        return ours.read_user_texts(snapshot, ours.open_texts(snapshot))
    except LookupError:
        with closing(ours.open_graph(f"sqlite:///{home / 'graph.db'}", read_only=True)) as store:
            return ours.read_user_texts(store, snapshot)


def batches(ours: Places, home: Path, snapshot: Any, run: Any) -> Iterator[tuple[str, str]]:
    """The first state of a run, and the batches of the first steps of each of its stages."""
    [view] = (home / "post_inputs" / "views").iterdir()
    inputs = ours.open_post_inputs(view)
    data = ours.training_data(snapshot, inputs, run.config.graph.edges)
    trainer = ours.Trainer(run.config, data, seed=0)
    yield from digests("held out posts", trainer.held_out)
    phases = getattr(run.config, "phases", None) or run.config.schedule
    for stage in ours.plan(phases):
        for number in range(stage.first, min(stage.first + NUM_STEPS, stage.last + 1)):
            yield from digests(f"batch {number:06d} of {stage.phase}", trainer.draw(number))


def digests(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """The arrays and values below a value, by dotted name."""
    if is_dataclass(value):
        for field in fields(value):
            if field.name in NOT_DRAWN:
                continue
            yield from digests(f"{name}.{field.name}", getattr(value, field.name))
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from digests(f"{name}.{key}", each)
    elif isinstance(value, list | tuple):
        yield f"{name}.length", str(len(value))
        for number, each in enumerate(value):
            yield from digests(f"{name}.{number}", each)
    elif hasattr(value, "tobytes") or hasattr(value, "numpy"):
        array = value if hasattr(value, "tobytes") else value.numpy()
        told = f"{array.dtype} {array.shape} "
        content = hashlib.blake2b(told.encode() + array.tobytes(), digest_size=16)
        yield name, told + content.hexdigest()
    elif value is None or isinstance(value, bool | int | float | str):
        yield name, repr(value)
    else:
        raise TypeError(f"{name} is a {type(value).__name__}, which has no digest")


def main() -> None:
    """Do what the command line says."""
    what, text = sys.argv[1:]
    arguments = json.loads(text)
    does = {"network": write_network, "draws": write_draws}[what]
    does(Places(arguments["places"]), arguments)


if __name__ == "__main__":
    main()
