import json

import numpy as np
import pytest
from click.testing import CliRunner

from featurestore.errors import GenerationMissing
from featurestore.generations.generation import Generations
from featurestore.generations.verdicts import Verdict
from featurestore.online.open import open_online_store
from featurestore.settings import FeatureStoreSettings
from tests.featurestore.activation import make_active
from training.cli.generations import generations

COMMANDS = ("list", "show", "activate", "rollback", "pin", "unpin", "drop")
FIGURE = {
    "task": "link prediction, uniform",
    "method": "representation",
    "metric": "hits_at_10",
    "trained": 0.5,
    "initial": 0.25,
    "baseline": 0.75,
    "baseline_name": "co-follow",
}


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MMGA_HOME", str(tmp_path))
    for name in ("MMGA_ONLINE_STORE_URL", "MMGA_ARTIFACTS_URL"):
        monkeypatch.delenv(name, raising=False)
    return FeatureStoreSettings.at(tmp_path)


def seal(settings, generation_id, created_at, *, ok=True):
    known = Generations(settings)
    folder = known.begin(generation_id)
    (folder / "evaluation.json").write_text(json.dumps({"figures": [FIGURE]}))
    known.seal(
        generation_id,
        {
            "created_at": created_at,
            "graph_id": "g",
            "graph_version": 7,
            "commit_time": 70,
            "dims": {"graph": 1, "image": 1, "text": 1},
            "scales": {"graph": 1.0, "image": 0.5, "text": 1.0},
            "num_users": 3,
            "recipe": "tiny",
            "seed": 0,
        },
    )
    reasons = () if ok else ("sound: graph: collapsed to a point",)
    known.verdicts(generation_id).append(Verdict(kind="promotion", ok=ok, reasons=reasons))


@pytest.fixture
def two(home):
    seal(home, "g1", "2026-01-01T00:00:00+00:00")
    seal(home, "g2", "2026-01-02T00:00:00+00:00", ok=False)
    online = open_online_store(home)
    online.write("v", ["a"], {"x": np.ones(1, np.float32)}, commit_time=1)
    make_active(online, "g1")
    online.close()


def run(*arguments):
    result = CliRunner().invoke(generations, arguments)
    if result.exception is not None:
        raise result.exception
    return result.stdout


def test_without_generations_it_says_what_to_do(home):
    assert "mmga train" in run("list")
    assert json.loads(run("list", "--json")) == []


def test_list_marks_the_active_one(two):
    header, first, second = run("list").splitlines()
    assert "graph version" in header
    assert first.split()[:3] == ["active", "g1", "promoted"]
    assert second.split()[:2] == ["g2", "refused"]
    assert [row["is_active"] for row in json.loads(run("list", "--json"))] == [True, False]


def test_show_tells_lineage_evaluation_and_what_is_wrong(two):
    text = run("show", "g2")
    assert "sound: graph: collapsed to a point" in text
    assert (
        "link prediction, uniform, representation, hits at 10: 0.500; 0.250; 0.750 (co-follow)"
        in text
    )
    document = json.loads(run("show", "g1", "--json"))
    assert document["is_active"]
    assert document["evaluation"]["figures"] == [FIGURE]
    assert document["graph_version"] == 7


def test_a_pin_is_shown_and_undone(two):
    assert run("pin", "g1") == "pinned g1\n"
    assert run("list").splitlines()[1].startswith("active, pinned")
    assert json.loads(run("show", "g1", "--json"))["is_pinned"]
    run("unpin", "g1")
    assert not json.loads(run("list", "--json"))[0]["is_pinned"]
    with pytest.raises(GenerationMissing, match="mmga generations list"):
        run("pin", "g9")
    with pytest.raises(GenerationMissing, match="not pinned"):
        run("unpin", "g1")


def test_show_tells_why_it_is_active(two):
    document = json.loads(run("show", "g1", "--json"))
    assert document["activated_because"] == "test"
    assert "activated_at" not in json.loads(run("show", "g2", "--json"))
    [verdict] = document["verdicts"]
    assert (verdict["kind"], verdict["ok"]) == ("promotion", True)


def test_show_of_an_unknown_generation_is_one_error(two):
    with pytest.raises(GenerationMissing, match="mmga generations list"):
        run("show", "g9")


@pytest.mark.parametrize("arguments", [["--help"], *([name, "--help"] for name in COMMANDS)])
def test_help(arguments):
    assert "Usage" in run(*arguments)
