"""A whole training run: snapshot, post inputs, seeds on Ray Train, vectors, evaluation, publishing.

Each step leaves its result in the run's folder before the next begins, so a run that was killed
goes on with the first step that has none.
"""

import hashlib
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast

from graphdb.snapshot import Snapshot, open_snapshot, take_snapshot
from graphdb.store import GraphStore
from training.caption_tokens import read_captions
from training.config import RunConfig
from training.encoding import UserVectors, encode_modalities, encode_users
from training.errors import NothingToTrain
from training.graph_source import SnapshotSource
from training.model import MMGA, build
from training.post_inputs import PostInputs, prepare_post_inputs
from training.progress import Reporter
from training.ray_train import fit_seed, ray_session
from training.run_files import Run, begin, load_tensors, unfinished, write_text
from training.schedule import num_steps
from training.settings import TrainingSettings
from training.tokens import load_tokenizer, tokenizer_json, train_tokenizer
from training.trainer import initial_model
from training.training_data import TrainingData, training_data
from training.vectors_file import load_vectors, save_vectors

PACKAGES = ("torch", "transformers", "ray", "numpy", "tokenizers", "safetensors")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What to train, with which seeds, and on how many workers."""

    config: RunConfig
    seeds: tuple[int, ...]
    workers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedVectors:
    """Vectors of one seed over training follows alone, at the initial weights and after training.

    `published` are the trained ones over all follows, for the seed that is published.
    """

    seed: int
    initial: UserVectors
    trained: UserVectors
    published: UserVectors | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedRun:
    """A run whose seeds are trained and encoded."""

    run: Run
    snapshot: Snapshot
    inputs: PostInputs
    tokenizer: PreTrainedTokenizerFast
    vectors: tuple[SeedVectors, ...]


def train_run(
    settings: TrainingSettings, store: GraphStore, request: RunRequest, reporter: Reporter
) -> TrainedRun:
    """Train and encode every seed, or what an interrupted run has left to do.

    The stage lock is held by the caller. Raises NothingToTrain, RunFailed.
    """
    run, snapshot = start_or_resume(settings, store, request, reporter)
    tokenizer = run_tokenizer(run, store, snapshot, reporter)
    inputs = run_inputs(settings, store, run, snapshot, tokenizer, reporter)
    data = training_data(snapshot, inputs, run.config.graph.edges)
    train_seeds(settings, run, inputs, reporter)
    torch.set_num_threads(settings.num_threads)
    vectors = tuple(
        seed_vectors(run, seed, data, snapshot, reporter, publish=seed == run.seeds[0])
        for seed in run.seeds
    )
    return TrainedRun(
        run=run, snapshot=snapshot, inputs=inputs, tokenizer=tokenizer, vectors=vectors
    )


def start_or_resume(
    settings: TrainingSettings, store: GraphStore, request: RunRequest, reporter: Reporter
) -> tuple[Run, Snapshot]:
    """The interrupted run of the same request with its snapshot, or a new one."""
    found = unfinished(
        settings.runs,
        request.config,
        seeds=request.seeds,
        workers=request.workers,
        graph_id=store.graph_id,
    )
    if found is not None:
        reporter.say(f"run {found.run_id} goes on where it was interrupted")
        return found, open_snapshot(found.snapshot)
    snapshot = take_snapshot(
        store, settings.snapshots, progress=lambda done, total: count(reporter, done, total)
    )
    if not snapshot.num_users:
        raise NothingToTrain("the graph has no users; run `mmga ingest --events …` first")
    reporter.say(
        f"snapshot of version {snapshot.version}: {snapshot.num_users:,} users, "
        f"{snapshot.num_posts:,} posts, {snapshot.followees.num_edges:,} follows"
    )
    run = begin(
        settings.runs,
        request.config,
        seeds=request.seeds,
        workers=request.workers,
        graph_id=snapshot.graph_id,
        version=snapshot.version,
        snapshot=snapshot.path.absolute(),
        code_version=code_version(),
        environment=environment(),
    )
    return run, snapshot


def count(reporter: Reporter, done: int, total: int) -> None:
    """Progress of the snapshot."""
    reporter.counting("snapshot", done, total)


def run_tokenizer(
    run: Run, store: GraphStore, snapshot: Snapshot, reporter: Reporter
) -> PreTrainedTokenizerFast:
    """The run's vocabulary, learned from the captions the first time."""
    if not run.tokenizer.exists():
        reporter.say("learning the vocabulary of the captions")
        size = run.config.text.vocabulary_size
        tokenizer = train_tokenizer(read_captions(store, snapshot), vocabulary_size=size)
        write_text(run.tokenizer, tokenizer_json(tokenizer))
    return load_tokenizer(run.tokenizer)


def run_inputs(
    settings: TrainingSettings,
    store: GraphStore,
    run: Run,
    snapshot: Snapshot,
    tokenizer: PreTrainedTokenizerFast,
    reporter: Reporter,
) -> PostInputs:
    """Tokens and pixels of the snapshot's posts."""
    inputs = prepare_post_inputs(
        store,
        snapshot,
        settings,
        tokenizer,
        image_size=run.config.image.image_size,
        max_tokens=run.config.text.max_tokens,
        progress=reporter.counting,
    )
    reporter.say(
        f"post inputs: {int(inputs.has_text.sum()):,} captions, "
        f"{int(inputs.has_image.sum()):,} images"
    )
    return inputs


def train_seeds(
    settings: TrainingSettings, run: Run, inputs: PostInputs, reporter: Reporter
) -> None:
    """Train the seeds that have no model yet, one after the other."""
    left = [seed for seed in run.seeds if not run.model(seed).exists()]
    if not left:
        return
    total = num_steps(run.config.schedule)
    with ray_session(run.workers):
        for seed in left:
            started = time.monotonic()
            with reporter.following(f"seed {seed}", run.losses(seed), total):
                fit_seed(run, seed, inputs.path, num_threads=settings.num_threads)
            seconds = time.monotonic() - started
            reporter.say(f"seed {seed}: {total} steps in {seconds:.0f} s; {held_out(run, seed)}")


def held_out(run: Run, seed: int) -> str:
    """What phase 0 did to the losses on held-out posts."""
    losses = run.summary(seed)["held_out"]
    if "after" not in losses:
        return "no phase 0"
    parts = [
        f"{name.replace('_', ' ')} {losses['before'][name]:.3f} -> {value:.3f}"
        for name, value in losses["after"].items()
    ]
    return f"held-out posts over phase 0: {', '.join(parts)}"


def seed_vectors(
    run: Run,
    seed: int,
    data: TrainingData,
    snapshot: Snapshot,
    reporter: Reporter,
    *,
    publish: bool,
) -> SeedVectors:
    """Encode all users with one seed's network, before and after training."""
    salt = run.run_id.encode()
    folder = run.seed_folder(seed)

    def encoded(name: str, encode: Callable[[], UserVectors]) -> UserVectors:
        path = folder / f"{name}.safetensors"
        if not path.exists():
            reporter.say(f"seed {seed}: encoding {data.num_users:,} users ({name})")
            save_vectors(path, encode())
        return load_vectors(path)

    def initial() -> UserVectors:
        return encode_users(initial_model(run.config, data, seed), data, data.source, salt=salt)

    def trained() -> UserVectors:
        return encode_users(trained_model(run, seed, data), data, data.source, salt=salt)

    def published() -> UserVectors:
        model = trained_model(run, seed, data)
        bank = encode_modalities(model, data)
        whole = SnapshotSource(snapshot, run.config.graph.edges, without_folds=())
        return encode_users(model, data, whole, salt=salt, bank=bank)

    return SeedVectors(
        seed=seed,
        initial=encoded("initial", initial),
        trained=encoded("trained", trained),
        published=encoded("published", published) if publish else None,
    )


def trained_model(run: Run, seed: int, data: TrainingData) -> MMGA:
    """The network that a seed's training ended with."""
    model = build(run.config, data.statistics.shape[1], seed)
    model.load_state_dict(load_tensors(run.model(seed)))
    return model


def code_version() -> str:
    """The package's version and a digest of the source that a run depends on."""
    digest = hashlib.blake2b(digest_size=6)
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return f"{version('mmga')}+{digest.hexdigest()}"


def environment() -> dict[str, Any]:
    """What a run's figures may depend on beside the code."""
    packages = {name: version(name) for name in PACKAGES}
    return packages | {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpus": str(os.cpu_count()),
    }
