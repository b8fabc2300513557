"""The whole of `mmga train` on a small graph: two seeds, judged, published, looked up."""

import dataclasses
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from featurestore.generations.generation import Generations
from featurestore.online.open import open_online_store
from featurestore.settings import FeatureStoreSettings
from graphdb.facts import Batch, UserDeletion
from tests.training.small_home import START, open_store, profile, small_home
from tests.training.small_network import small_config
from training.cli.generations import generations
from training.engine.progress import ConsoleReporter
from training.engine.step_log import read_losses
from training.errors import NothingToTrain
from training.mmga.config import RunConfig
from training.runs.report import RunReport, train_and_publish
from training.runs.run import RunRequest
from training.runs.run_folder import open_run
from training.settings import TrainingSettings


def config() -> RunConfig:
    small = small_config(edges="follows", signature_width=8)
    return dataclasses.replace(small, text=dataclasses.replace(small.text, vocabulary_size=300))


def train(settings: TrainingSettings, *, publishing: bool = True) -> RunReport:
    request = RunRequest(config=config(), seeds=(0, 1), workers=1)
    feature_settings = FeatureStoreSettings.at(settings.home)
    with closing(open_store(settings.home)) as store, ConsoleReporter() as reporter:
        return train_and_publish(
            settings, feature_settings, store, request, reporter, publishing=publishing
        )


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_seeds_are_trained_evaluated_and_the_first_is_served(tmp_path: Path) -> None:
    settings = small_home(tmp_path)
    report = train(settings)
    run = open_run(report.trained.run.path)
    assert run.status == "finished"
    for seed in (0, 1):
        assert [line["step"] for line in read_losses(run.losses(seed))] == list(range(16))
    assert report.evaluated is not None
    assert report.evaluated.evaluation.num_seeds == 2
    feature_settings = FeatureStoreSettings.at(settings.home)
    known = Generations(feature_settings)
    assert known.pointer().active == run.generation
    generation = known.get(str(run.generation))
    generation.verify()
    assert {"model.safetensors", "config.json", "tokenizer.json"} <= set(
        generation.manifest["checksums"]
    )
    assert generation.manifest["data"]["users"] == 45
    published = report.trained.vectors[0].published
    assert published is not None
    with closing(open_online_store(feature_settings)) as online:
        rows = online.read(
            f"user_representation_{generation.id}",
            [str(user_id) for user_id in report.trained.snapshot.user_ids],
            ["graph", "text"],
        )
    assert rows.present.all()
    assert np.array_equal(np.stack(list(rows.features["graph"])), published.graph)
    text = str(report)
    for said in ("held-out posts", "best baseline", "is active", f"report: {run.path}/report.txt"):
        assert said in text
    whole = (run.path / "report.txt").read_text()
    for said in ("baseline: ", "Not improved by training", "Below the best baseline"):
        assert said in whole
    document = report.document()
    assert document["is_active"]
    assert document["generation"] == generation.id
    check_catching_up(settings, generation.id)


def check_catching_up(settings: TrainingSettings, generation_id: str) -> None:
    """Who came since is served once the generation was activated again, and who left is not."""
    with closing(open_store(settings.home)) as store:
        store.apply(
            Batch(
                profiles=[profile(99)],
                user_deletions=[UserDeletion(user_id="u0", time=2 * START)],
            )
        )
        version = store.head().version
    environment = {"MMGA_HOME": str(settings.home), "MMGA_MEDIA_ROOT": str(settings.media_root)}
    outcome = CliRunner().invoke(
        generations, ["activate", generation_id], env=environment, catch_exceptions=False
    )
    assert outcome.stdout == f"serving {generation_id}\n"
    view = f"user_representation_{generation_id}"
    with closing(open_online_store(FeatureStoreSettings.at(settings.home))) as online:
        rows = online.read(view, ["u99", "u0", "u1"], ["graph", "graph_version"])
    assert rows.present.tolist() == [True, False, True]
    assert np.isfinite(rows.features["graph"][[0, 2]]).all()
    assert rows.features["graph_version"][[0, 2]].tolist() == [version, version]
    assert not list((settings.home / "encodings").glob("*"))


def test_an_empty_graph_is_nothing_to_train_on(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    open_store(tmp_path / "home").close()
    with pytest.raises(NothingToTrain, match="mmga ingest"):
        train(TrainingSettings(home=tmp_path / "home"))
    assert not list((tmp_path / "home").glob("checkpoints/*"))
