"""Prometheus metrics of the generations and of the last run of each stage, read at each scrape."""

import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from featurestore.errors import FeatureStoreError
from featurestore.generations.generation import Generations
from featurestore.generations.progress import GenerationProgress, generations_progress
from featurestore.online.store import OnlineStore
from foundation.stage_run import OK, stage_runs
from foundation.watermark import Watermark
from graphdb.store import Head

logger = logging.getLogger(__name__)


class GenerationMetrics(Collector):
    """Watermark, lag, age and verdict of each generation.

    They are absent while the graph or the feature store cannot be read.
    """

    def __init__(
        self,
        generations: Generations,
        online: OnlineStore,
        graph_head: Callable[[], tuple[str, Head] | None],
    ) -> None:
        self._generations = generations
        self._online = online
        self._graph_head = graph_head

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """The families without samples: registering them reads nothing."""
        yield from _generation_families()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The families with their current samples."""
        families = _generation_families()
        for each in self._progress():
            values = (each.watermark, each.lag_seconds, each.age_seconds)
            for family, value in zip(families, values, strict=False):
                if value is not None:
                    family.add_metric([each.id], value)
            if each.verdict is not None:
                families[-1].add_metric([each.id, each.verdict], 1)
        yield from families

    def _progress(self) -> list[GenerationProgress]:
        head = self._graph_head()
        if head is None:
            return []
        graph_id, newest = head
        mark = Watermark(graph_id=graph_id, version=newest.version, commit_time=newest.commit_time)
        try:
            return generations_progress(self._generations, self._online, mark, datetime.now(UTC))
        except FeatureStoreError as error:
            logger.warning("metrics without generations: %s", error)
            return []


class StageRunMetrics(Collector):
    """When the last run of each stage ended, and whether it did what it should."""

    def __init__(self, home: Path) -> None:
        self._home = home

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """The families without samples: registering them reads nothing."""
        yield from _stage_families()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The families with their current samples; a stage that has not ended has none."""
        ended, succeeded = _stage_families()
        for stage, run in stage_runs(self._home).items():
            if run.ended_at is not None:
                ended.add_metric([stage], datetime.fromisoformat(run.ended_at).timestamp())
                succeeded.add_metric([stage], float(run.result == OK))
        yield ended
        yield succeeded


def _generation_families() -> list[GaugeMetricFamily]:
    return [
        GaugeMetricFamily(
            "mmga_generation_watermark",
            "Graph version up to which the vectors of a generation are complete.",
            labels=["generation"],
        ),
        GaugeMetricFamily(
            "mmga_generation_lag_seconds",
            "Seconds from the commit that the vectors are complete up to, to the newest one.",
            labels=["generation"],
        ),
        GaugeMetricFamily(
            "mmga_generation_age_seconds",
            "Seconds since a generation was sealed.",
            labels=["generation"],
        ),
        GaugeMetricFamily(
            "mmga_generation_verdict",
            "1 for the last verdict on a generation.",
            labels=["generation", "verdict"],
        ),
    ]


def _stage_families() -> tuple[GaugeMetricFamily, GaugeMetricFamily]:
    return (
        GaugeMetricFamily(
            "mmga_stage_run_ended_timestamp_seconds",
            "When the last run of a stage ended.",
            labels=["stage"],
        ),
        GaugeMetricFamily(
            "mmga_stage_run_succeeded",
            "1 where the last run of a stage ended well, else 0.",
            labels=["stage"],
        ),
    )
