import json
import os
import subprocess
import sys

import pytest

from tests.serving.published import Home


def mmga(home: Home, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "mmga", *arguments],
        env={**os.environ, "MMGA_HOME": str(home.path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


class TestLookup:
    def test_is_a_compact_report(self, home: Home) -> None:
        done = mmga(home, "lookup", "ann", "eve")
        assert done.returncode == 0
        for text in ("user ann", "user eve", "generation g1", "8 floats", "norm", "mean_likes"):
            assert text in done.stdout
        assert len(done.stdout.splitlines()) < 40
        assert max(map(len, done.stdout.splitlines())) <= 120

    def test_json_is_one_document_with_whole_vectors(self, home: Home) -> None:
        done = mmga(home, "lookup", "ann", "--json")
        answer = json.loads(done.stdout)
        assert (answer["generation"], answer["unknown"]) == ("g1", [])
        assert len(answer["users"][0]["representation"]) == 18

    def test_an_unknown_user_fails_in_one_line_after_the_others(self, home: Home) -> None:
        done = mmga(home, "lookup", "zoe", "ann")
        assert done.returncode == 1
        assert "user ann" in done.stdout
        errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1
        assert "'zoe'" in errors[0]
        assert "Traceback" not in done.stderr

    def test_json_with_an_unknown_user_fails_too(self, home: Home) -> None:
        done = mmga(home, "lookup", "zoe", "--json")
        assert done.returncode == 1
        assert json.loads(done.stdout)["unknown"] == ["zoe"]

    def test_before_the_first_generation(self, empty_home: Home) -> None:
        empty_home.write_statistics(["ann"])
        done = mmga(empty_home, "lookup", "ann")
        assert done.returncode == 0
        assert "mmga train" in done.stdout
        assert "missing: no generation" in done.stdout
        assert "mean_likes" in done.stdout

    @pytest.mark.parametrize("user_id", ["a\nb", "", "x" * 257])
    def test_what_is_no_id_is_one_line(self, home: Home, user_id: str) -> None:
        done = mmga(home, "lookup", user_id)
        assert (done.returncode, done.stdout) == (1, "")
        assert "control characters" in done.stderr
        assert "Traceback" not in done.stderr


class TestSimilar:
    def test_nearest_first(self, home: Home) -> None:
        done = mmga(home, "similar", "ann", "--k", "3")
        assert done.returncode == 0
        lines = done.stdout.splitlines()
        assert len(lines) == 4
        cosines = [float(line.split()[0]) for line in lines[1:]]
        assert cosines == sorted(cosines, reverse=True)

    def test_json(self, home: Home) -> None:
        answer = json.loads(mmga(home, "similar", "ann", "-k", "2", "--json").stdout)
        assert (answer["user_id"], answer["generation"], len(answer["similar"])) == ("ann", "g1", 2)

    @pytest.mark.parametrize("arguments", [["zoe"], ["ann", "-k", "0"], ["ann", "-k", "100000"]])
    def test_refusals_are_one_line(self, home: Home, arguments: list[str]) -> None:
        done = mmga(home, "similar", *arguments)
        assert (done.returncode, done.stdout) == (1, "")
        assert len([line for line in done.stderr.splitlines() if "error: " in line]) == 1

    def test_before_the_first_generation(self, empty_home: Home) -> None:
        empty_home.write_statistics(["ann"])
        done = mmga(empty_home, "similar", "ann")
        assert done.returncode == 1
        assert "mmga train" in done.stderr
