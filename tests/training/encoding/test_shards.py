"""Encoding by ranges on Ray is that of one process, and goes on where it was killed."""

import dataclasses
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.small_home import open_store, small_home
from tests.training.small_network import small_config
from training.encoding.all_users import UserVectors, encode_users
from training.encoding.job import EncodingJob
from training.encoding.ray_tasks import encode_ranges
from training.engine.files import save_tensors
from training.engine.progress import ConsoleReporter
from training.engine.ray_cluster import ray_session
from training.mmga.config import RunConfig
from training.mmga.trainer import initial_model
from training.mmga.training_data import training_data
from training.mmga.user_vectors import Chunks
from training.runs.run import RunRequest, run_inputs, run_tokenizer, start_or_resume
from training.runs.seed_vectors import SeedEncoder
from training.sampling.snapshot_source import SnapshotSource

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PARTS = ("graph", "image", "text", "has_image", "has_text")
CHUNKS = Chunks(num_users=10, num_posts=7, num_seeds=5)


@pytest.fixture(scope="module")
def ray() -> Iterator[None]:
    with ray_session(1):
        yield


def config() -> RunConfig:
    small = small_config(edges="follows", fan_outs=(4, 4))
    return dataclasses.replace(small, text=dataclasses.replace(small.text, vocabulary_size=300))


def encoder(folder: Path) -> SeedEncoder:
    """A run whose one seed has weights that no training made."""
    settings = small_home(folder)
    request = RunRequest(config=config(), seeds=(0,), workers=1)
    with closing(open_store(settings.home)) as store, ConsoleReporter() as reporter:
        run, snapshot, texts = start_or_resume(settings, store, request, reporter)
        tokenizer = run_tokenizer(run, texts.captions, reporter)
        inputs = run_inputs(settings, run, texts, tokenizer, request, store, reporter)
    data = training_data(snapshot, inputs, "follows")
    save_tensors(run.model(0), initial_model(config(), data, seed=7).state_dict())
    torch.set_num_threads(1)
    return SeedEncoder(
        run=run,
        seed=0,
        snapshot=snapshot,
        inputs=inputs,
        data=data,
        num_threads=1,
        reporter=reporter,
        chunks=CHUNKS,
    )


def here(made: SeedEncoder, model_seed: int, *, all_follows: bool) -> UserVectors:
    model = initial_model(config(), made.data, seed=model_seed)
    source = made.data.source
    if all_follows:
        source = SnapshotSource(made.snapshot, "follows", without_folds=())
    salt = made.run.run_id.encode()
    return encode_users(model, made.data, source, salt=salt, chunks=CHUNKS)


def same(first: UserVectors, second: UserVectors) -> None:
    for part in PARTS:
        assert np.array_equal(getattr(first, part), getattr(second, part)), part


def test_ranges_on_ray_give_the_vectors_of_one_process_bit_for_bit(
    tmp_path: Path, ray: None
) -> None:
    made = encoder(tmp_path)
    vectors = made.vectors(publish=True)
    same(vectors.initial, here(made, 0, all_follows=False))
    same(vectors.trained, here(made, 7, all_follows=False))
    assert vectors.published is not None
    same(vectors.published, here(made, 7, all_follows=True))
    assert not np.array_equal(vectors.published.graph, vectors.trained.graph)
    assert not list(made.folder.glob("encoding-*"))
    same(vectors.trained, made.vectors(publish=True).trained)


def written(job: EncodingJob) -> dict[Path, int]:
    """The files of ranges that are there whole, and when they were written."""
    files = (path for path in job.folder.glob("*-0*") if path.suffix != ".partial")
    return {path: path.stat().st_mtime_ns for path in files}


def test_a_killed_encoding_goes_on_with_the_ranges_that_are_missing(
    tmp_path: Path, ray: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = encoder(tmp_path)
    jobs: list[EncodingJob] = []

    def killed(job: EncodingJob, progress: object) -> None:
        encode_ranges(job, made.reporter.counting)
        jobs.append(job)
        raise KeyboardInterrupt

    monkeypatch.setattr("training.encoding.passes.encode_ranges", killed)
    with pytest.raises(KeyboardInterrupt):
        made.vectors(publish=False)
    (job,) = jobs
    assert not job.missing("modal")
    for name, number in (("modal", 1), ("layer-1", 0), ("layer-2", 3)):
        path = job.path(name, number)
        path.rename(path.with_name(f"{path.name}.77.partial"))
    left = written(job)
    encode_ranges(job, made.reporter.counting)
    now = written(job)
    assert len(left) == len(job.passes) * job.num_ranges - 3
    assert len(now) == len(job.passes) * job.num_ranges
    assert {path: now[path] for path in left} == left
    monkeypatch.undo()
    same(made.vectors(publish=False).initial, here(made, 0, all_follows=False))
