"""`mmga train` as one function: train, evaluate, publish, report."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from featurestore.settings import FeatureStoreSettings
from foundation.durable_files import write_text
from graphdb.store import GraphStore
from training.engine.files import write_json
from training.engine.progress import Reporter
from training.engine.step_log import losses_of, read_losses
from training.errors import EvaluationImpossible
from training.evaluation.comparison import render_evaluation, render_summary
from training.options.document import to_json
from training.publishing.catch_up import catching_up
from training.publishing.publication import Publication, Published
from training.publishing.publish import publish
from training.publishing.stores import open_stores
from training.publishing.trial import Trial
from training.runs.evaluate import RunEvaluation, evaluate_run, representation_of, scales_of
from training.runs.preconditions import check_machine, check_publishing, writing
from training.runs.retention import retire
from training.runs.run import RunRequest, TrainedRun, train_run
from training.runs.run_folder import Run, drop_old, finish
from training.runs.seeds import collapses, held_out
from training.settings import TrainingSettings

PATIENCE_SECONDS = 600.0
"""How long a trained network waits for another process that publishes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """The result of a run; `evaluated` is None if there are too few held-out follows."""

    trained: TrainedRun
    evaluated: RunEvaluation | None
    not_evaluated: str | None
    published: Published | None
    seconds: float

    def document(self) -> dict[str, Any]:
        """Everything as JSON values."""
        run = self.trained.run
        return {
            "run": run.run_id,
            "recipe": run.config.recipe,
            "seeds": list(run.seeds),
            "graph_id": run.graph_id,
            "graph_version": run.version,
            "graph_versions_seen": {
                str(seed): run.summary(seed).get("graph_versions") for seed in run.seeds
            },
            "seconds": round(self.seconds, 1),
            "held_out_losses": {str(seed): run.summary(seed)["held_out"] for seed in run.seeds},
            "findings": {str(seed): run.summary(seed).get("findings", {}) for seed in run.seeds},
            "evaluation": None if self.evaluated is None else self.evaluated.evaluation.document(),
            "not_evaluated": self.not_evaluated,
            "generation": None if self.published is None else self.published.generation_id,
            "is_active": self.published is not None and self.published.is_active,
            "not_active_because": [] if self.published is None else list(self.published.reasons),
        }

    def __str__(self) -> str:
        run = self.trained.run
        lines = [f"seed {seed}: {held_out(run, seed)}" for seed in run.seeds]
        lines += [
            f"warning: seed {seed}, {each}" for seed in run.seeds for each in collapses(run, seed)
        ]
        if self.evaluated is None:
            lines += ["", f"not evaluated: {self.not_evaluated}"]
        else:
            lines += ["", render_summary(self.evaluated.evaluation), f"report: {report_path(run)}"]
        lines += ["", f"run {run.run_id}: {run.path}", self.publication()]
        return "\n".join(lines)

    def publication(self) -> str:
        """The outcome of publishing, as text."""
        if self.published is None:
            return f"not published; {self.seconds:.0f} s"
        name, seconds = self.published.generation_id, f"{self.seconds:.0f} s"
        if self.published.is_active:
            return f"generation {name} of {self.published.num_users:,} users is active; {seconds}"
        reasons = "; ".join(self.published.reasons)
        return f"generation {name} is kept and not active: {reasons}; {seconds}"


def train_and_publish(
    settings: TrainingSettings,
    feature_settings: FeatureStoreSettings,
    store: GraphStore,
    request: RunRequest,
    reporter: Reporter,
    *,
    publishing: bool = True,
) -> RunReport:
    """Train, evaluate and publish, or resume doing so; the caller holds the stage lock.

    What each step needs is checked before the first. Raises Unwritable when the disk is full.
    """
    with reporter.stop.at_once():
        check_machine(settings, request.workers)
        if publishing:
            check_publishing(feature_settings)
    with writing(settings.home):
        return checked_run(
            settings, feature_settings, store, request, reporter, publishing=publishing
        )


def checked_run(
    settings: TrainingSettings,
    feature_settings: FeatureStoreSettings,
    store: GraphStore,
    request: RunRequest,
    reporter: Reporter,
    *,
    publishing: bool,
) -> RunReport:
    """The steps of `train_and_publish` on a machine that was checked."""
    started = time.monotonic()
    trained = train_run(settings, store, request, reporter)
    evaluated, not_evaluated = None, None
    try:
        with reporter.stop.at_once():
            evaluated = evaluate_run(trained, reporter)
        write_json(trained.run.path / "evaluation.json", evaluated.evaluation.document())
        write_text(report_path(trained.run), render_evaluation(evaluated.evaluation) + "\n")
    except EvaluationImpossible as error:
        not_evaluated = str(error)
    published = None
    if publishing:
        reporter.say(f"publishing seed {trained.run.seeds[0]}")
        with open_stores(
            store, feature_settings, settings, timeout_seconds=PATIENCE_SECONDS
        ) as stores:
            catch_up = catching_up(store, settings, reporter, num_workers=request.workers)
            published = publish(publication(trained, evaluated), stores, catch_up)
            retire(stores, settings)
    run = finish(trained.run, published.generation_id if published else None)
    drop_old(settings.runs, keep=settings.keep_runs)
    return RunReport(
        trained=replace(trained, run=run),
        evaluated=evaluated,
        not_evaluated=not_evaluated,
        published=published,
        seconds=time.monotonic() - started,
    )


def report_path(run: Run) -> Path:
    """Every figure of the evaluation, as text."""
    return run.path / "report.txt"


def publication(trained: TrainedRun, evaluated: RunEvaluation | None) -> Publication:
    """The first seed as a generation: its vectors over all follows, the scales and heads that the
    evaluator used, its weights, its vocabulary and its lineage."""
    run, first = trained.run, trained.vectors[0]
    assert first.published is not None
    return Publication(
        generation_id=f"g{run.run_id.removeprefix('r')}",
        snapshot=trained.snapshot,
        vectors=first.published,
        scales=scales_of(first.trained, run.config.users.fusion),
        heads={} if evaluated is None else evaluated.trained[0].heads,
        files={
            "model.safetensors": run.model(first.seed),
            "config.json": to_json(run.config),
            "tokenizer.json": run.tokenizer,
            "losses.jsonl": run.losses(first.seed),
        },
        evaluation={} if evaluated is None else evaluated.evaluation.document(),
        trial=None if evaluated is None else trial(trained, evaluated),
        lineage=lineage(trained),
    )


def trial(trained: TrainedRun, evaluated: RunEvaluation) -> Trial:
    """What the first seed's promotion is decided on."""
    config = trained.run.config
    return Trial(
        snapshot=trained.snapshot,
        evaluator=evaluated.evaluator,
        R_ND=representation_of(trained.vectors[0].trained, config.users.fusion),
        margin=config.promotion.margin,
    )


def lineage(trained: TrainedRun) -> Mapping[str, Any]:
    """Recipe, seed, code, data, losses and environment of the published network."""
    run, snapshot, seed = trained.run, trained.snapshot, trained.vectors[0].seed
    last: dict[str, float] = {}
    for line in read_losses(run.losses(seed)):
        last |= losses_of(line)
    return {
        "recipe": run.config.recipe,
        "seed": seed,
        "run_id": run.run_id,
        "started_at": run.started_at,
        "code_version": run.code_version,
        "environment": dict(run.environment),
        "salt": run.run_id,
        "data": {
            "users": snapshot.num_users,
            "posts": snapshot.num_posts,
            "follows": snapshot.followees.num_edges,
            "captions": int(trained.inputs.has_text.sum()),
            "images": int(trained.inputs.has_image.sum()),
            "labels": {task: len(labels.users) for task, labels in snapshot.labels.items()},
        },
        "held_out_losses": run.summary(seed)["held_out"],
        "graph_versions_seen": run.summary(seed).get("graph_versions"),
        "last_losses": last,
    }
