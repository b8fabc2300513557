import pytest

from foundation.stage_run import stage_run, stage_runs


def test_the_last_run_of_each_stage_is_known(tmp_path):
    assert stage_runs(tmp_path) == {}
    with stage_run(tmp_path, "train"):
        during = stage_runs(tmp_path)["train"]
        assert (during.ended_at, during.result) == (None, None)
        assert "not ended" in str(during)
    done = stage_runs(tmp_path)["train"]
    assert (done.started_at, done.result) == (during.started_at, "ok")
    assert done.ended_at is not None
    with pytest.raises(ValueError), stage_run(tmp_path, "train"):
        raise ValueError("a\nb")
    with pytest.raises(KeyboardInterrupt), stage_run(tmp_path, "publish"):
        raise KeyboardInterrupt
    assert {name: run.result for name, run in stage_runs(tmp_path).items()} == {
        "train": "ValueError: a b",
        "publish": "interrupted",
    }


def test_what_cannot_be_recorded_does_not_stop_the_stage(tmp_path, caplog):
    (tmp_path / "stage_runs").write_text("a file in the way")
    with stage_run(tmp_path, "train"):
        pass
    assert "the run of train is not recorded" in caplog.text
