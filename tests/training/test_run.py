import io
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from tests.training.small_home import open_store, small_home
from tests.training.small_network import small_config
from training.config import RunConfig
from training.encoding import UserVectors
from training.errors import RunUnreadable
from training.loss_log import append_losses, read_losses
from training.progress import ConsoleReporter
from training.recipe import paper_literal
from training.run import RunRequest, code_version, environment, start_or_resume
from training.run_files import (
    Run,
    begin,
    drop_old,
    finish,
    interrupted,
    load_tensors,
    open_run,
    runs,
)
from training.vectors_file import load_vectors, save_vectors


def begin_run(root: Path, *, config: RunConfig | None = None, seeds: tuple[int, ...] = (0,)) -> Run:
    snapshot = root / "snapshot"
    snapshot.mkdir(parents=True, exist_ok=True)
    return begin(
        root,
        config or small_config(),
        seeds=seeds,
        workers=1,
        graph_id="graph",
        version=7,
        snapshot=snapshot,
        code_version=code_version(),
        environment=environment(),
    )


def find(root: Path, **asked: object) -> Run | None:
    request = {"seeds": (0,), "graph_id": "graph"} | asked
    return next(interrupted(root, request.pop("config", small_config()), **request), None)


def test_a_run_is_read_as_it_was_begun(tmp_path: Path) -> None:
    run = begin_run(tmp_path, config=paper_literal(small_config()), seeds=(0, 4))
    assert open_run(run.path) == run
    assert run.environment["torch"]
    assert run.code_version.startswith("0.")


def test_only_an_unfinished_run_of_the_same_request_is_resumed(tmp_path: Path) -> None:
    run = begin_run(tmp_path)
    assert find(tmp_path) == run
    assert find(tmp_path, seeds=(0, 1)) is None
    assert find(tmp_path, graph_id="restored") is None
    assert find(tmp_path, config=small_config(edges="follows")) is None
    finish(run, "g1")
    assert find(tmp_path) is None
    assert open_run(run.path).generation == "g1"


def test_a_run_of_another_number_of_workers_is_left_and_a_new_one_begins(tmp_path: Path) -> None:
    settings = small_home(tmp_path)
    stream = io.StringIO()

    def start(workers: int) -> str:
        request = RunRequest(config=small_config(), seeds=(0,), workers=workers)
        console = ConsoleReporter(Console(file=stream, width=400))
        with closing(open_store(settings.home)) as store, console as reporter:
            return start_or_resume(settings, store, request, reporter)[0].run_id

    first, other = start(2), start(1)
    assert first != other
    assert (
        f"run {first} was interrupted with --workers 2, which goes on with it; with --workers 1 a "
        "new run begins"
    ) in stream.getvalue()
    assert (start(2), start(1)) == (first, other)


def test_a_run_whose_snapshot_is_gone_is_not_resumed(tmp_path: Path) -> None:
    begin_run(tmp_path)
    (tmp_path / "snapshot").rmdir()
    assert find(tmp_path) is None


def test_a_run_of_another_format_is_refused_in_one_line(tmp_path: Path) -> None:
    run = begin_run(tmp_path)
    path = run.path / "run.json"
    path.write_text(path.read_text().replace('"format_version": ', '"format_version": 9'))
    with pytest.raises(RunUnreadable, match="another version"):
        open_run(run.path)
    (run.path / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(RunUnreadable, match=r"model\.safetensors"):
        load_tensors(run.path / "model.safetensors")


def test_only_the_newest_finished_runs_are_kept(tmp_path: Path) -> None:
    begun = [begin_run(tmp_path) for _ in range(4)]
    for run in begun[:3]:
        finish(run, None)
    drop_old(tmp_path, keep=1)
    left = {path for path, _ in runs(tmp_path)}
    assert len(left) == 2
    assert begun[3].path in left


def test_losses_of_steps_that_are_done_again_replace_the_first_attempt(tmp_path: Path) -> None:
    path = tmp_path / "seed-0" / "losses.jsonl"
    assert not list(read_losses(path))
    append_losses(path, [{"step": step, "total": 1.0} for step in range(4)])
    append_losses(path, [{"step": step, "total": 2.0} for step in range(2, 6)])
    append_losses(path, [])
    assert [line["total"] for line in read_losses(path)] == [1.0, 1.0, 2.0, 2.0, 2.0, 2.0]


def test_vectors_survive_the_disk(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    vectors = UserVectors(
        graph=rng.random((3, 4), np.float32),
        image=rng.random((3, 2), np.float32),
        text=rng.random((3, 5), np.float32),
        has_image=np.array([True, False, True]),
        has_text=np.array([False, False, True]),
    )
    save_vectors(tmp_path / "vectors.safetensors", vectors)
    again = load_vectors(tmp_path / "vectors.safetensors")
    for name in ("graph", "image", "text", "has_image", "has_text"):
        assert np.array_equal(getattr(vectors, name), getattr(again, name))


def test_where_there_is_no_terminal_each_group_of_steps_is_a_line(tmp_path: Path) -> None:
    stream = io.StringIO()
    path = tmp_path / "losses.jsonl"
    with ConsoleReporter(Console(file=stream, width=200)) as reporter:
        reporter.say("hello [not markup]")
        with reporter.following("seed 0", path, 4):
            append_losses(
                path,
                [
                    {"step": 0, "phase": "phase0", "language_modelling": 8.0, "total": 9.0},
                    {"step": 1, "phase": "phase0", "language_modelling": 6.0, "total": 7.0},
                ],
            )
            time.sleep(0.7)
            append_losses(path, [{"step": 2, "phase": "graph", "node_feature": 0.5, "total": 1.0}])
    assert stream.getvalue().splitlines() == [
        "hello [not markup]",
        "seed 0: step 2/4  phase0: lm 7.000",
        "seed 0: step 3/4  graph: feature 0.500",
    ]


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys, mmga\n"
        "try: mmga.main(['train', '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'ray', 'transformers', 'feast', 'sklearn'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "--paper-literal" in done.stdout
