from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector

from featurestore.definitions import representation_name
from featurestore.generations.generation import Generations
from featurestore.generations.verdicts import Verdict
from foundation.stage_run import stage_run
from foundation.watermark import Watermark
from graphdb.store import Head
from serving.generation_metrics import GenerationMetrics, StageRunMetrics
from tests.serving.published import COMMIT_TIME, GRAPH_ID, Home


def registered(collector: Collector) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(collector)
    return registry


def test_each_generation_has_watermark_lag_age_and_verdict(home: Home) -> None:
    generations = Generations(home.settings)
    generations.verdicts("g1").append(Verdict(kind="promotion", ok=True))
    mark = Watermark(graph_id=GRAPH_ID, version=5, commit_time=COMMIT_TIME)
    home.online.set_watermark(representation_name("g1"), mark)
    head = Head(version=7, commit_time=COMMIT_TIME + 2_500_000)
    metrics = registered(GenerationMetrics(generations, home.online, lambda: (GRAPH_ID, head)))
    g1 = {"generation": "g1"}
    assert metrics.get_sample_value("mmga_generation_watermark", g1) == 5
    assert metrics.get_sample_value("mmga_generation_lag_seconds", g1) == 2.5
    assert (metrics.get_sample_value("mmga_generation_age_seconds", g1) or 0) >= 0
    verdict = {**g1, "verdict": "promoted"}
    assert metrics.get_sample_value("mmga_generation_verdict", verdict) == 1


def test_vectors_of_another_graph_have_no_watermark(home: Home) -> None:
    mark = Watermark(graph_id=GRAPH_ID, version=5, commit_time=COMMIT_TIME)
    home.online.set_watermark(representation_name("g1"), mark)
    head = Head(version=7, commit_time=COMMIT_TIME)
    generations = Generations(home.settings)
    metrics = registered(GenerationMetrics(generations, home.online, lambda: ("other", head)))
    g1 = {"generation": "g1"}
    assert metrics.get_sample_value("mmga_generation_watermark", g1) is None
    assert metrics.get_sample_value("mmga_generation_age_seconds", g1) is not None
    unknown = registered(GenerationMetrics(generations, home.online, lambda: None))
    assert unknown.get_sample_value("mmga_generation_age_seconds", g1) is None


def test_the_last_run_of_a_stage(home: Home) -> None:
    metrics = registered(StageRunMetrics(home.path))
    train = {"stage": "train"}
    with stage_run(home.path, "train"):
        assert metrics.get_sample_value("mmga_stage_run_succeeded", train) is None
    assert metrics.get_sample_value("mmga_stage_run_succeeded", train) == 1
    assert (metrics.get_sample_value("mmga_stage_run_ended_timestamp_seconds", train) or 0) > 1e9
