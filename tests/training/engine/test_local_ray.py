"""What Ray needs on this machine is checked before it starts."""

from pathlib import Path

import pytest

from training.engine.cpus import usable_cpus
from training.engine.local_ray import (
    MAX_SOCKET_BYTES,
    SESSION,
    check_local_ray,
    give_token,
    temporary_folder,
)
from training.errors import ClusterTooSmall, RayUnusable


def test_a_temporary_folder_with_a_long_path_is_refused_before_ray_meets_it(
    tmp_path: Path,
) -> None:
    most = MAX_SOCKET_BYTES - len(SESSION) - 1
    for name in ("TMPDIR", "RAY_TMPDIR"):
        with pytest.raises(RayUnusable, match=rf"^{name}=.*at most {most}\): set RAY_TMPDIR to a"):
            temporary_folder({name: str(tmp_path / ("x" * MAX_SOCKET_BYTES))})
    assert not list(tmp_path.iterdir())


def test_bytes_of_the_path_count_not_characters() -> None:
    with pytest.raises(RayUnusable, match="too long"):
        temporary_folder({"TMPDIR": "/tmp/" + "ü" * 20})


def test_a_temporary_folder_that_cannot_be_made_is_refused() -> None:
    with pytest.raises(RayUnusable, match=r"TMPDIR=/proc/nowhere cannot hold Ray's files"):
        temporary_folder({"TMPDIR": "/proc/nowhere"})


def test_ray_s_own_variable_goes_before_that_of_the_system(tmp_path: Path) -> None:
    folder = temporary_folder({"RAY_TMPDIR": "/tmp", "TMPDIR": str(tmp_path / ("x" * 200))})
    assert folder == Path("/tmp/ray")


def test_a_relative_folder_is_made_absolute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/tmp")
    assert temporary_folder({"TMPDIR": "."}) == Path("/tmp/ray")


def test_more_workers_than_cpus_are_refused() -> None:
    check_local_ray(usable_cpus(), {})
    with pytest.raises(ClusterTooSmall, match=r"--workers asks for \d+: ask for fewer, or name"):
        check_local_ray(usable_cpus() + 1, {})


def test_ray_needs_no_file_in_the_home_folder_for_its_token() -> None:
    environ: dict[str, str] = {}
    give_token(environ)
    assert len(environ["RAY_AUTH_TOKEN"]) == 64
    for given in ({"RAY_AUTH_TOKEN": "mine"}, {"RAY_AUTH_MODE": "disabled"}):
        environ = dict(given)
        give_token(environ)
        assert environ == given
