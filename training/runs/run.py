"""A whole training run: snapshot, post inputs, seeds on Ray Train, vectors, evaluation, publishing.

Each step writes its result to the run's folder before the next begins. A killed run resumes at the
first step without a result.
"""

import os
import platform
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast

from foundation.durable_files import write_text
from foundation.image_report import ImageReport, read_image_report
from graphdb.errors import ChangesTrimmed
from graphdb.snapshot.snapshot import Snapshot, open_snapshot, take_snapshot
from graphdb.store import GraphStore
from training.engine.progress import Reporter
from training.errors import NothingToTrain, PostInputsUnusable
from training.inputs.captions import PinnedTexts, TextColumn, open_texts, pin_texts, texts_folder
from training.inputs.post_inputs import PostInputs, open_post_inputs
from training.inputs.preparation import prepare_post_inputs
from training.mmga.batches import split_posts
from training.mmga.config import RunConfig
from training.mmga.preconditions import check_enough
from training.mmga.trainer import HELD_OUT_POSTS
from training.mmga.training_data import training_data
from training.networks.tokenizer import (
    load_tokenizer,
    pretrained_tokenizer,
    tokenizer_json,
    train_tokenizer,
)
from training.runs.code_version import code_version
from training.runs.preconditions import check_config, check_data, not_evaluated
from training.runs.run_folder import Run, begin, drop_old, interrupted
from training.runs.seed_vectors import SeedEncoder, SeedVectors
from training.runs.seeds import train_seeds
from training.settings import TrainingSettings

PACKAGES = ("torch", "transformers", "ray", "numpy", "tokenizers", "safetensors")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """Configuration, seeds and number of workers; with `fresh`, no run is resumed.

    With `retry_images` a new run reads all images again, those that were read before included.
    """

    config: RunConfig
    seeds: tuple[int, ...]
    workers: int
    fresh: bool = False
    retry_images: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedRun:
    """A run whose seeds are trained and encoded."""

    run: Run
    snapshot: Snapshot
    texts: PinnedTexts
    inputs: PostInputs
    tokenizer: PreTrainedTokenizerFast
    vectors: tuple[SeedVectors, ...]


def train_run(
    settings: TrainingSettings, store: GraphStore, request: RunRequest, reporter: Reporter
) -> TrainedRun:
    """Train and encode every seed; resume an interrupted run of the same request.

    The stage lock is held by the caller. Raises NothingToTrain, RunFailed.
    """
    run, snapshot, texts = start_or_resume(settings, store, request, reporter)
    tokenizer = run_tokenizer(run, texts.captions, reporter)
    inputs = run_inputs(settings, run, texts, tokenizer, request, store, reporter)
    data = training_data(snapshot, inputs, run.config.graph.edges)
    if not is_trained(run):
        check_enough(data, split_posts(data, held_out_share=HELD_OUT_POSTS)[0])
    train_seeds(settings, run, inputs.path, reporter)
    torch.set_num_threads(settings.num_threads)
    vectors = tuple(
        SeedEncoder(
            run=run,
            seed=seed,
            snapshot=snapshot,
            inputs=inputs,
            data=data,
            num_threads=settings.num_threads,
            reporter=reporter,
        ).vectors(publish=seed == run.seeds[0])
        for seed in run.seeds
    )
    return TrainedRun(
        run=run,
        snapshot=snapshot,
        texts=texts,
        inputs=inputs,
        tokenizer=tokenizer,
        vectors=vectors,
    )


def start_or_resume(
    settings: TrainingSettings, store: GraphStore, request: RunRequest, reporter: Reporter
) -> tuple[Run, Snapshot, PinnedTexts]:
    """The interrupted run of the same request with its snapshot and texts, or a new one.

    Raises ConfigInvalid, WeightsUnusable before anything is written.
    """
    found = None if request.fresh else resumable(settings, store, request, reporter)
    if found is not None:
        reporter.say(f"resuming the interrupted run {found.run_id}")
        if not is_trained(found):
            check_config(found.config)
        snapshot = open_snapshot(found.snapshot)
        return found, snapshot, open_texts(snapshot)
    check_config(request.config)
    snapshot = take_snapshot(
        store, settings.snapshots, progress=partial(reporter.counting, "snapshot")
    )
    if not snapshot.num_users:
        raise NothingToTrain("the graph has no users; run `mmga ingest --events …` first")
    reporter.say(
        f"snapshot of version {snapshot.version}: {snapshot.num_users:,} users, "
        f"{snapshot.num_posts:,} posts, {snapshot.followees.num_edges:,} follows"
    )
    texts = pin_texts(store, snapshot, progress=partial(reporter.counting, "texts"))
    check_data(snapshot, texts, request.config)
    if (warning := not_evaluated(snapshot)) is not None:
        reporter.say(warning)
    drop_old(settings.runs, keep=settings.keep_runs)  # also where no run ever ends
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
    return run, snapshot, texts


def resumable(
    settings: TrainingSettings, store: GraphStore, request: RunRequest, reporter: Reporter
) -> Run | None:
    """The newest interrupted run of the same request that can be resumed.

    If none can, reports for each one why it cannot.
    """
    found = interrupted(settings.runs, request.config, seeds=request.seeds, graph_id=store.graph_id)
    left: list[str] = []
    for run in found:
        obstacle = obstacle_of(run, store, request)
        if obstacle is None:
            return run
        left.append(f"run {run.run_id} {obstacle} a new run begins")
    for each in left:
        reporter.say(each)
    return None


def obstacle_of(run: Run, store: GraphStore, request: RunRequest) -> str | None:
    """The reason why an interrupted run cannot be resumed by this request, or None.

    With other code, or another number of workers, batches and the order of sums would differ, so
    the result would not be reproducible.
    """
    if run.code_version != code_version():
        return f"was begun by other code ({run.code_version});"
    if not texts_folder(run.snapshot).is_dir():
        return "cannot be resumed: the texts of its snapshot are gone;"
    if lacks_changes(run, store):
        return "cannot be resumed: the change feed no longer reaches back to its snapshot;"
    if run.workers != request.workers:
        return (
            f"was interrupted with --workers {run.workers} and resumes only with that; "
            f"with --workers {request.workers}"
        )
    return None


def is_trained(run: Run) -> bool:
    """Whether the training of every seed has ended."""
    return all(run.model(seed).exists() for seed in run.seeds)


def lacks_changes(run: Run, store: GraphStore) -> bool:
    """Whether untrained seeds need changes that the database no longer keeps."""
    if run.config.sampler != "database" or is_trained(run):
        return False
    try:
        next(store.changes(run.version), None)
    except ChangesTrimmed:
        return True
    return False


def run_tokenizer(run: Run, captions: TextColumn, reporter: Reporter) -> PreTrainedTokenizerFast:
    """The tokenizer of the pretrained text encoder, or one learned from the captions.

    It is written to the run's folder once. Raises WeightsUnusable.
    """
    text = run.config.text
    if run.tokenizer.exists():
        return load_tokenizer(run.tokenizer)
    if text.pretrained is not None:
        tokenizer = pretrained_tokenizer(text)
    else:
        reporter.say("learning the vocabulary of the captions")
        with reporter.stop.at_once():
            tokenizer = train_tokenizer(captions, vocabulary_size=text.vocabulary_size)
    write_text(run.tokenizer, tokenizer_json(tokenizer))
    return load_tokenizer(run.tokenizer)


def run_inputs(
    settings: TrainingSettings,
    run: Run,
    texts: PinnedTexts,
    tokenizer: PreTrainedTokenizerFast,
    request: RunRequest,
    store: GraphStore,
    reporter: Reporter,
) -> PostInputs:
    """Tokens and pixels of the snapshot's posts: those with which a resumed run began."""
    if (pinned := pinned_inputs(run, reporter)) is not None:
        if request.retry_images:
            reporter.say("the resumed run keeps its images: --new reads all again")
        report_images(pinned.images, None, reporter)
        return pinned
    last = read_image_report(settings.home, run.graph_id)
    inputs = prepare_post_inputs(
        texts,
        settings,
        tokenizer,
        image_size=run.config.image.image_size,
        max_tokens=run.config.text.max_tokens,
        positions=store.positions(),
        retry_images=request.retry_images,
        progress=reporter.counting,
    )
    write_text(run.post_inputs, str(inputs.path.absolute()))
    reporter.say(
        f"post inputs: {int(inputs.has_text.sum()):,} captions, "
        f"{int(inputs.has_image.sum()):,} images"
    )
    report_images(inputs.images, last, reporter)
    return inputs


def pinned_inputs(run: Run, reporter: Reporter) -> PostInputs | None:
    """The post inputs with which a run began; None for a new run, and where they are gone."""
    if not run.post_inputs.exists():
        return None
    try:
        return open_post_inputs(Path(run.post_inputs.read_text(encoding="utf-8")))
    except PostInputsUnusable as error:
        reporter.say(str(error))
        return None


def report_images(images: ImageReport, last: ImageReport | None, reporter: Reporter) -> None:
    """Report the distinct images by outcome, and whether they are fewer than in the last run."""
    reporter.say(f"images: {images}")
    if last is not None and images.num_ok < last.num_ok:
        reporter.say(
            f"warning: fewer images than in the last run: {images.num_ok:,} in place of"
            f" {last.num_ok:,}"
        )


def environment() -> dict[str, Any]:
    """Versions and hardware that the figures of a run may depend on, beside the code."""
    packages = {name: version(name) for name in PACKAGES}
    return packages | {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpus": str(os.cpu_count()),
    }
