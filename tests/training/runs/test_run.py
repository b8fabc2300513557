import io
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from foundation.durable_files import write_text
from graphdb.errors import ChangesTrimmed
from graphdb.store import Change, GraphStore
from tests.training.small_home import open_store, small_home
from tests.training.small_network import small_config
from training.encoding.all_users import UserVectors
from training.encoding.vectors_file import load_vectors, save_vectors
from training.engine.files import load_tensors
from training.engine.progress import ConsoleReporter
from training.engine.seed_files import SeedFiles
from training.engine.step_log import append_losses, read_losses
from training.errors import RunUnreadable
from training.inputs.captions import texts_folder
from training.inputs.post_inputs import PostInputs
from training.mmga.config import RunConfig
from training.mmga.recipes import paper_literal
from training.runs.code_version import code_version
from training.runs.run import (
    RunRequest,
    environment,
    run_inputs,
    run_tokenizer,
    start_or_resume,
)
from training.runs.run_folder import Run, begin, drop_old, finish, interrupted, open_run, runs
from training.runs.seeds import train_seeds
from training.sampling.config import Sampler
from training.settings import TrainingSettings


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


def by_age(begun: list[Run]) -> list[Run]:
    """Of runs that began in the same second the name decides."""
    return sorted(begun, key=lambda run: run.run_id)


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

    def begun(workers: int) -> str:
        request = RunRequest(config=small_config(), seeds=(0,), workers=workers)
        console = ConsoleReporter(Console(file=stream, width=400))
        with closing(open_store(settings.home)) as store, console as reporter:
            return start_or_resume(settings, store, request, reporter)[0].run_id

    first, other = begun(2), begun(1)
    assert first != other
    assert (
        f"run {first} was interrupted with --workers 2 and resumes only with that; "
        "with --workers 1 a new run begins"
    ) in stream.getvalue()
    assert (begun(2), begun(1)) == (first, other)


def start(
    settings: TrainingSettings, store: GraphStore, *, sampler: Sampler = "snapshot", **asked: bool
) -> tuple[Run, list[str]]:
    """What `mmga train` would begin or go on with, and what it says of it."""
    stream = io.StringIO()
    config = replace(small_config(), sampler=sampler)
    request = RunRequest(config=config, seeds=(0,), workers=1, **asked)
    with ConsoleReporter(Console(file=stream, width=400)) as reporter:
        run, *_ = start_or_resume(settings, store, request, reporter)
    return run, stream.getvalue().splitlines()


def test_a_run_that_begins_drops_old_ones(tmp_path: Path) -> None:
    settings = small_home(tmp_path)
    before = by_age([begin_run(settings.runs, seeds=(number,)) for number in range(4)])
    for run in before:
        write_text(run.model(0), "weights")
    with closing(open_store(settings.home)) as store:
        begun, _ = start(settings, store)
    left = {run.run_id for _, run in runs(settings.runs)}
    assert left == {begun.run_id, *(run.run_id for run in before[1:])}


def test_what_other_code_began_does_not_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = small_home(tmp_path)
    with closing(open_store(settings.home)) as store:
        first, _ = start(settings, store)
        assert start(settings, store)[0] == first
        monkeypatch.setattr("training.runs.run.code_version", lambda: "0.9+changed")
        second, said = start(settings, store)
    assert second.run_id != first.run_id
    assert said[0] == (
        f"run {first.run_id} was begun by other code ({first.code_version}); a new run begins"
    )


def test_a_run_whose_texts_are_gone_does_not_go_on(tmp_path: Path) -> None:
    settings = small_home(tmp_path)
    with closing(open_store(settings.home)) as store:
        first, _ = start(settings, store)
        shutil.rmtree(texts_folder(first.snapshot))
        time.sleep(1)  # the name of a run, by which the newest is found, tells the second
        second, said = start(settings, store)
        assert start(settings, store)[0] == second
    assert second.run_id != first.run_id
    assert said[0] == (
        f"run {first.run_id} cannot be resumed: the texts of its snapshot are gone; "
        "a new run begins"
    )


@pytest.mark.parametrize("sampler", ["snapshot", "database"])
@pytest.mark.parametrize("is_trained", [False, True])
def test_a_run_whose_changes_are_trimmed_goes_on_only_where_it_needs_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sampler: Sampler, is_trained: bool
) -> None:
    settings = small_home(tmp_path)
    with closing(open_store(settings.home)) as store:
        first, _ = start(settings, store, sampler=sampler)
        if is_trained:
            write_text(first.model(0), "weights")

        def changes(since: int) -> Iterator[Change]:
            raise ChangesTrimmed(f"not kept since {since}")

        monkeypatch.setattr(store, "changes", changes)
        second, said = start(settings, store, sampler=sampler)
    if sampler == "database" and not is_trained:
        assert second.run_id != first.run_id
        assert said[0] == (
            f"run {first.run_id} cannot be resumed: the change feed no longer reaches back to its "
            "snapshot; a new run begins"
        )
    else:
        assert second == first


def test_a_new_run_is_begun_where_it_is_asked_for_and_goes_on_from_then(tmp_path: Path) -> None:
    settings = small_home(tmp_path)
    with closing(open_store(settings.home)) as store:
        first, _ = start(settings, store)
        old = first.path.rename(first.path.with_name("r20200101000000ffff"))
        second, _ = start(settings, store, fresh=True)
        assert second.run_id != old.name
        assert start(settings, store)[0] == second
        finish(second, None)
        third, _ = start(settings, store)
    assert third.run_id not in (old.name, second.run_id)


class Said(ConsoleReporter):
    """Keeps what was said."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def say(self, message: str) -> None:
        self.lines.append(message)


def prepared(
    settings: TrainingSettings, store: GraphStore, **request: bool
) -> tuple[PostInputs, Said]:
    """The post inputs of a run as it begins or is resumed, and what was said of them."""
    said, asked = Said(), RunRequest(config=small_config(), seeds=(0,), workers=1, **request)
    run, _, texts = start_or_resume(settings, store, asked, said)
    tokenizer = run_tokenizer(run, texts.captions, said)
    return run_inputs(settings, run, texts, tokenizer, asked, store, said), said


def test_a_resumed_run_keeps_its_images_and_a_new_one_looks_again(tmp_path: Path) -> None:
    settings = small_home(tmp_path)
    with closing(open_store(settings.home)) as store:
        first, _ = prepared(settings, store)
        for path in settings.media_root.iterdir():
            Image.new("RGB", (24, 24), "black").save(path)
        second, said = prepared(settings, store, retry_images=True)
        assert second.path == first.path
        assert "the resumed run keeps its images: --new reads all again" in said.lines
        third, _ = prepared(settings, store, fresh=True)
        shutil.rmtree(third.path.parent)
        fourth, said = prepared(settings, store)
        assert "prepare them again" in said.lines[1]
        assert fourth.path == third.path
    assert third.pixels[third.pixel_rows.max()].max() == 0
    assert second.pixels[second.pixel_rows.max()].max() > 0


def test_images_are_reported_by_outcome_and_that_they_became_fewer(tmp_path: Path) -> None:
    settings = small_home(tmp_path)
    (settings.media_root / "food.png").unlink()
    with closing(open_store(settings.home)) as store:
        _, said = prepared(settings, store, fresh=True)
        assert "images: 2 ok, 1 pending (file not found: 1)" in said.lines
        assert not any("fewer" in line for line in said.lines)
        shutil.rmtree(settings.home / "post_inputs" / "images")
        (settings.media_root / "music.png").unlink()
        _, said = prepared(settings, store, fresh=True)
    assert said.lines[-2:] == [
        "images: 1 ok, 2 pending (file not found: 2)",
        "warning: fewer images than in the last run: 1 in place of 2",
    ]


def test_states_of_seeds_that_are_trained_go_when_a_run_goes_on(tmp_path: Path) -> None:
    run = begin_run(tmp_path)
    files = SeedFiles(run.seed_folder(0))
    write_text(run.model(0), "weights")
    for left in (files.checkpoints / "00000005.json", files.folder / "ray" / "state"):
        write_text(left, "left by a kill")
    train_seeds(TrainingSettings(home=tmp_path), run, tmp_path, ConsoleReporter())
    assert list(files.folder.iterdir()) == [run.model(0)]


def test_a_run_whose_snapshot_is_gone_is_not_resumed(tmp_path: Path) -> None:
    begin_run(tmp_path)
    (tmp_path / "snapshot").rmdir()
    assert find(tmp_path) is None


def test_a_run_of_another_format_is_refused_in_one_line(tmp_path: Path) -> None:
    run = begin_run(tmp_path)
    path = run.path / "run.json"
    path.write_text(path.read_text().replace('"format_version": ', '"format_version": 9'))
    with pytest.raises(RunUnreadable, match=r"has format 92, this software reads 2: install"):
        open_run(run.path)
    (run.path / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(RunUnreadable, match=r"model\.safetensors"):
        load_tensors(run.path / "model.safetensors")


def test_only_the_newest_finished_and_interrupted_runs_are_kept(tmp_path: Path) -> None:
    begun = by_age([begin_run(tmp_path) for _ in range(7)])
    for run in begun[:3]:
        finish(run, None)
    for run in begun[3:5]:  # the newest one cannot displace these
        write_text(run.seed_folder(0) / "checkpoints" / "00000025.json", "{}")
    (tmp_path / ".r1.dropped" / "half").mkdir(parents=True)
    drop_old(tmp_path, keep=1)
    left = [run for _, run in runs(tmp_path)]
    assert {run.run_id for run in left} == {begun[each].run_id for each in (2, 4, 6)}
    assert {path.name for path in tmp_path.iterdir()} == {"snapshot", *(run.run_id for run in left)}


def test_a_kill_in_the_midst_of_dropping_leaves_no_half_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        finish(begin_run(tmp_path), None)

    def die(path: Path) -> None:
        (path / "tokenizer.json").unlink(missing_ok=True)
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr("shutil.rmtree", die)
        with pytest.raises(KeyboardInterrupt):
            drop_old(tmp_path, keep=1)
    assert len(list(runs(tmp_path))) == 1
    assert len(list(tmp_path.glob("*.dropped"))) == 1
    drop_old(tmp_path, keep=1)
    assert not list(tmp_path.glob("*.dropped"))


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
    again = load_vectors(tmp_path / "vectors.safetensors", UserVectors)
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
        "seed 0: step 2/4  phase0: language modelling 7.000  total 8.000",
        "seed 0: step 3/4  graph: node feature 0.500  total 1.000",
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


def test_a_change_in_any_package_that_a_run_depends_on_is_another_version_of_the_code(
    tmp_path: Path,
) -> None:
    """Asked of a copy, in a process of its own: the version is that of the code that runs."""
    for package in ("foundation", "graphdb", "featurestore", "training"):
        shutil.copytree(Path(package), tmp_path / package, ignore=shutil.ignore_patterns("*.pyc"))
    program = (
        "from pathlib import Path\n"
        "from training.runs.code_version import code_version\n"
        "for package in ('.', 'foundation', 'graphdb/sampling', 'training/mmga/objectives'):\n"
        "    Path(package, 'changed.py').write_text('changed = True')\n"
        "    print(code_version())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    versions = done.stdout.split()
    assert versions[0] == code_version()
    assert len(set(versions)) == 4
