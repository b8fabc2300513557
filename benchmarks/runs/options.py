"""What the options that the paper leaves open are worth, one at a time changed from the default.

Each variant trains the recipe `tiny` with one change on real accounts (see
`benchmarks.runs.prepared`; left out with a line where they are not) and is evaluated on the
validation folds: AUC of fans by the representation alone, with counts, and by the cosines of text
and of images alone; accuracy and macro F1 of labelled users by cross-validation. All variants and
the default share seeds, posts, negatives and examples, so differences are taken seed by seed.

    python -m benchmarks options [--quick]              all variants, and the table
    python -m benchmarks.runs.options [VARIANT…] [--seeds N] some of them, or more seeds

A result is a file below MMGA_HOME/options; what is there is not measured again. A variant that
training refuses is told with its reason, one whose vectors are the default's as without effect.
Hours for all variants and seeds; `--quick` takes a minute and shows only that all runs.
"""

import argparse
import hashlib
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from benchmarks.machine import commit
from benchmarks.measure import Row
from benchmarks.runs.option_results import DEFAULT, Result, read, table, write
from benchmarks.runs.prepared import Prepared, congress, prepare
from benchmarks.runs.validation import ValidationEvaluator, validation_evaluator
from ingest.synthetic import write_synthetic_network
from training.encoding.all_users import UserVectors, encode_users
from training.encoding.vectors_file import load_vectors, save_vectors
from training.engine.step_log import check_finite
from training.errors import TrainingError
from training.mmga.config import RunConfig
from training.mmga.recipes import paper_literal, smoke, tiny
from training.mmga.trainer import Trainer
from training.mmga.training_data import training_data
from training.options.assignments import with_options
from training.options.document import to_json
from training.runs.evaluate import modalities_of, representation_of

LITERAL = "paper literal"
NUM_SEEDS = 3

VARIANTS: Mapping[str, Sequence[str]] = {
    DEFAULT: (),
    LITERAL: (),
    "edges mutual": ("graph.edges=mutual",),
    "edges mutual+mentions": ("graph.edges=mutual+mentions",),
    "edges follows+mentions": ("graph.edges=follows+mentions",),
    "gate input concat": ("graph.gate_input=concat",),
    "gate softmax": ("graph.gate_normalisation=softmax",),
    "gate tanh": ("graph.gate_normalisation=tanh",),
    "gate raw": ("graph.gate_normalisation=raw",),
    "gate literal": ("graph.gate_input=concat", "graph.literal_gate=true"),
    "gate per layer": ("graph.per_layer_gates=true",),
    "gate for all relations": ("graph.per_relation_gates=false",),
    "literal propagation": ("graph.literal_propagation=true",),
    "node features X": ("graph.node_features=X",),
    "no signatures": ("graph.signature_width=0",),
    "one layer": ("graph.fan_outs=64",),
    "contrast pairwise": ("objectives.contrast=pairwise",),
    "contrast literal": ("objectives.contrast=paper_literal",),
    "text pooling cls": ("text.pooling=cls",),
    "text dropout 0.1": ("text.dropout=0.1",),
    "32 pairs of users, 4 posts": (
        "phases.num_contrast_pairs=32",
        "phases.num_contrast_posts=4",
    ),
    "temperature 0.1": ("objectives.contrast_temperature=0.1",),
    "64 stale negatives": ("phases.num_bank_negatives=64",),
    "encoders' rate 1e-3": ("phases.encoder_learning_rate=1e-3",),
    "phase 0 of 60 steps": ("phases.num_phase0_steps=60",),
    "attention over posts": ("users.post_pooling=attention",),
    "gated fusion": ("users.fusion=gated",),
    "modality dropout 0.2": ("users.modality_dropout=0.2",),
    "causal language modelling": ("objectives.language_modelling=causal",),
    "scaled cosine of features": ("objectives.node_feature_loss=scaled_cosine",),
    "two-hop negatives": ("objectives.hard_negatives=two_hop",),
    "uncertainty weighting": ("objectives.weighting=uncertainty",),
    "joint order": ("phases.order=joint",),
    "without language modelling": ("objectives.weight_lm=0",),
    "without alignment": ("objectives.weight_alignment=0",),
    "without contrast": ("objectives.weight_contrast=0",),
    "without node features": ("objectives.weight_node_feature=0",),
    "without graph structure": ("objectives.weight_graph_structure=0",),
}

QUICK = {"quick": True}
QUICK_VARIANTS = (DEFAULT, LITERAL, "gate softmax", "contrast pairwise")


def run(*, quick: bool = False) -> list[Row]:
    """Measure and print a table of its own; no rows for the common one."""
    if quick:
        print(table(measured(quick_study(), QUICK_VARIANTS, [0])))
    elif (study := full_study()) is not None:
        print(table(measured(study, list(VARIANTS), range(NUM_SEEDS))))
    return []


def main() -> int:
    """Measure the variants that are named, all by default, and print the table of all results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.runs.options", description=__doc__)
    parser.add_argument("variants", nargs="*", choices=[[], *VARIANTS], metavar="VARIANT")
    parser.add_argument("--seeds", type=int, default=NUM_SEEDS, help="seeds of each variant")
    parser.add_argument("--table", action="store_true", help="measure nothing, print what is there")
    arguments = parser.parse_args()
    study = full_study()
    if study is None:
        return 1
    if not arguments.table:
        measured(study, arguments.variants or list(VARIANTS), range(arguments.seeds))
    if found := study.kept():
        print(table(found))
    return 0


def full_study() -> "Study | None":
    """The recipe `tiny` on the real accounts; None, and a line, where they are not."""
    events = congress()
    if events is None:
        print("options left out: no real accounts; set MMGA_DATA_DIR", file=sys.stderr)
        return None
    return Study(folder=root() / "congress", events=events, config=tiny())


def quick_study() -> "Study":
    """A few steps on a generated network: shows that all runs, and measures nothing."""
    phases = replace(smoke().phases, num_contrast_pairs=4, num_inference_posts=2)
    config = replace(smoke(), phases=phases)
    events = write_synthetic_network(root() / "quick" / "network", num_users=100).events
    return Study(folder=root() / "quick", events=events, config=config)


def root() -> Path:
    """Where studies keep their networks and results."""
    return Path(os.environ.get("MMGA_HOME", ".mmga")).resolve() / "options"


def measured(study: "Study", variants: Sequence[str], seeds: Sequence[int]) -> list[Result]:
    """Each variant with each seed, told as it comes."""
    results = []
    for seed in seeds:
        for variant in variants:
            result = study.result(variant, seed)
            figures = (f"{name} {value:.3f}" for name, value in result.figures.items())
            told = result.refused or ", ".join(figures)
            print(f"  {variant}, seed {seed}: {told}", file=sys.stderr)
            results.append(result)
    return results


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """Where a study is, on which network, from which default."""

    folder: Path
    events: Path
    config: RunConfig

    def result(self, variant: str, seed: int) -> Result:
        """The result of a variant, measured now unless it was before."""
        started = time.monotonic()
        try:
            config = changed(self.config, variant)
            if found := read(self.path(variant, seed), config):
                return found
            vectors = self.vectors(config, seed)
        except TrainingError as error:
            return Result(variant=variant, seed=seed, refused=str(error))
        R = representation_of(vectors, config.users.fusion)
        result = Result(
            variant=variant,
            seed=seed,
            config=to_json(config),
            vectors=hashlib.blake2b(R.tobytes(), digest_size=8).hexdigest(),
            figures=self.evaluator().figures(R, modalities_of(vectors)),
            seconds=time.monotonic() - started,
            commit=commit(),
        )
        write(self.path(variant, seed), result)
        self.vectors_path(config, seed).unlink()
        return result

    def vectors(self, config: RunConfig, seed: int) -> UserVectors:
        """Those of all users, from an attempt that ended before it was evaluated where there is
        one.

        Raises TrainingError.
        """
        path = self.vectors_path(config, seed)
        if not path.exists():
            save_vectors(path, trained(config, self.network(), seed))
        return load_vectors(path, UserVectors)

    def vectors_path(self, config: RunConfig, seed: int) -> Path:
        """Where vectors are until they are evaluated."""
        name = hashlib.blake2b(f"{seed} {to_json(config)}".encode(), digest_size=8).hexdigest()
        return self.folder / "vectors" / f"{name}.safetensors"

    def kept(self) -> list[Result]:
        """The results that are there and still of this code's options, in the order of VARIANTS."""
        found = []
        for variant in VARIANTS:
            try:
                config = changed(self.config, variant)
            except TrainingError as error:
                found.append(Result(variant=variant, seed=0, refused=str(error)))
                continue
            paths = sorted(self.path(variant, 0).parent.glob(self.path(variant, None).name))
            found += [each for path in paths if (each := read(path, config))]
        return found

    def path(self, variant: str, seed: int | None) -> Path:
        """The file of a result, or the pattern of a variant's files."""
        name = f"{variant.replace(' ', '-')}-seed-{'*' if seed is None else seed}.json"
        return self.folder / "results" / name

    def network(self) -> Prepared:
        """The prepared network."""
        return prepared(self.folder / "home", self.config, self.events)

    def evaluator(self) -> ValidationEvaluator:
        """The evaluator of this network."""
        return evaluator_of(self.folder / "home", self.config, self.events)


@cache
def prepared(home: Path, config: RunConfig, events: Path) -> Prepared:
    """`prepare`, once a process."""
    return prepare(home, config, events)


@cache
def evaluator_of(home: Path, config: RunConfig, events: Path) -> ValidationEvaluator:
    """The evaluator of a prepared network, once a process."""
    return validation_evaluator(prepared(home, config, events).snapshot)


def changed(config: RunConfig, variant: str) -> RunConfig:
    """The default with what the variant changes. Raises ConfigInvalid."""
    if variant == LITERAL:
        return paper_literal(config)
    return with_options(config, VARIANTS[variant])


def trained(config: RunConfig, network: Prepared, seed: int) -> UserVectors:
    """Vectors of all users after training, over the follows of the training folds.

    Raises TrainingError.
    """
    data = training_data(network.snapshot, network.inputs, config.graph.edges)
    trainer = Trainer(config, data, seed=seed)
    for record in trainer.steps(0):
        check_finite({"total": float(record.losses["total"])}, record.number)
    return encode_users(trainer.model, data, data.source, salt=b"options")


if __name__ == "__main__":
    sys.exit(main())
