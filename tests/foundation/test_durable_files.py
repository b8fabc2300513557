"""A file or folder is there whole or not at all, and what a failure or a kill left of it goes."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foundation.durable_files import (
    PARTIAL,
    drop_partials,
    flush,
    put_folder,
    whole_folder,
    write_text,
    write_whole,
)


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def killed_at(moment: int, work: Callable[[], object]) -> bool:
    """Run `work` in a child that dies by SIGKILL before its n-th durable step; whether it did."""
    child = os.fork()
    if child == 0:
        steps = iter(range(1, 1000))

        def counted(real: Callable[..., Any]) -> Callable[..., Any]:
            def call(*arguments: Any) -> Any:
                if next(steps) == moment:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*arguments)

            return call

        os.fsync, os.replace, os.rename = map(counted, (os.fsync, os.replace, os.rename))
        work()
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert status in (0, signal.SIGKILL)
    return status == signal.SIGKILL


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is flushed and renamed, in this order, by its name."""
    heard: list[str] = []
    fsync, replace, rename = os.fsync, os.replace, os.rename

    def hear_fsync(descriptor: int) -> None:
        name = Path(f"/proc/self/fd/{descriptor}").readlink().name
        heard.append("flush partial" if name.endswith(PARTIAL) else f"flush {name}")
        fsync(descriptor)

    def hear(real: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *places: (heard.append(f"rename to {Path(places[1]).name}"), real(*places))

    monkeypatch.setattr(os, "fsync", hear_fsync)
    monkeypatch.setattr(os, "replace", hear(replace))
    monkeypatch.setattr(os, "rename", hear(rename))
    return heard


class TestFile:
    def test_it_is_flushed_before_it_is_renamed_and_its_folder_afterwards(
        self, tmp_path: Path, synced: list[str]
    ) -> None:
        folder = tmp_path / "new"
        write_text(folder / "file", "é")
        assert (folder / "file").read_text(encoding="utf-8") == "é"
        assert synced == ["flush partial", "rename to file", "flush new"]

    def test_a_write_that_fails_leaves_the_old_content_and_nothing_beside_it(
        self, tmp_path: Path
    ) -> None:
        path = tmp_path / "file"
        write_text(path, "old")

        def fail(partial: Path) -> None:
            partial.write_text("half")
            raise OSError("no space left on device")

        with pytest.raises(OSError, match="no space"):
            write_whole(path, fail)
        assert names(tmp_path) == {"file"}
        assert path.read_text() == "old"

    def test_two_writers_never_share_what_is_not_whole_yet(self, tmp_path: Path) -> None:
        path = tmp_path / "file"

        def write(partial: Path) -> None:
            partial.write_text("outer")
            write_text(path, "inner")

        write_whole(path, write)
        assert path.read_text() == "outer"

    def test_it_may_be_written_in_another_folder_first(self, tmp_path: Path) -> None:
        path, staging = tmp_path / "view" / "file.parquet", tmp_path / ".staging"
        seen: list[Path] = []

        def write(partial: Path) -> None:
            seen.append(partial.parent)
            assert not list(path.parent.iterdir())
            partial.write_text("rows")

        write_whole(path, write, staging=staging)
        assert seen == [staging]
        assert names(tmp_path) == {"view", "view/file.parquet", ".staging"}

    def test_killed_at_any_durable_step_the_old_or_the_new_is_there(self, tmp_path: Path) -> None:
        path, found, moment = tmp_path / "file", [], 1
        write_text(path, "old")
        while killed_at(moment, lambda: write_text(path, "new")):
            found.append(path.read_text())
            drop_partials(path)
            assert names(tmp_path) == {"file"}
            write_text(path, "old")
            moment += 1
        assert found == ["old", "old", "new"]
        assert path.read_text() == "new"

    def test_what_is_dropped_is_of_one_file(self, tmp_path: Path) -> None:
        others = {"a", "b.12345678.partial", "a.partial.json"}
        for name in (*others, "a.12345678.partial"):
            (tmp_path / name).touch()
        drop_partials(tmp_path / "a")
        assert names(tmp_path) == others

    def test_what_is_appended_is_on_the_disk_after_a_flush(
        self, tmp_path: Path, synced: list[str]
    ) -> None:
        with (tmp_path / "log").open("a", encoding="utf-8") as file:
            file.write("line\n")
            flush(file)
            assert (tmp_path / "log").read_text() == "line\n"
        assert synced == ["flush log"]


class TestFolder:
    def fill(self, path: Path) -> None:
        with whole_folder(path) as partial:
            (partial / "inner").mkdir()
            (partial / "inner" / "file").write_text("whole")

    def test_all_that_it_holds_is_flushed_before_it_is_renamed(
        self, tmp_path: Path, synced: list[str]
    ) -> None:
        self.fill(tmp_path / "new" / "folder")
        assert names(tmp_path / "new") == {"folder", "folder/inner", "folder/inner/file"}
        assert set(synced[:2]) == {"flush inner", "flush file"}
        assert synced[2:] == ["flush partial", "rename to folder", "flush new"]

    def test_a_block_that_fails_leaves_nothing(self, tmp_path: Path) -> None:
        def fail(path: Path) -> None:
            with whole_folder(path) as partial:
                (partial / "file").touch()
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            fail(tmp_path / "folder")
        assert not names(tmp_path)

    def test_killed_at_any_durable_step_it_is_whole_or_not_there(self, tmp_path: Path) -> None:
        path, moment = tmp_path / "folder", 1
        while killed_at(moment, lambda: self.fill(path)):
            assert not path.exists() or (path / "inner" / "file").read_text() == "whole"
            self.fill(tmp_path / "another")
            assert {each.name for each in tmp_path.iterdir()} <= {"folder", "another"}
            for each in (path, tmp_path / "another"):
                if each.exists():
                    each.rename(tmp_path.parent / f"{tmp_path.name}-{each.name}-{moment}")
            moment += 1
        assert moment == 6
        assert (path / "inner" / "file").read_text() == "whole"

    def test_a_folder_that_was_staged_elsewhere_is_put_in_place(self, tmp_path: Path) -> None:
        staged = tmp_path / ".staging-g1"
        (staged / "heads").mkdir(parents=True)
        (staged / "heads" / "head").touch()
        put_folder(staged, tmp_path / "g1")
        assert names(tmp_path) == {"g1", "g1/heads", "g1/heads/head"}
