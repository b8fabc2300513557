"""What `mmga status` shows: the graph, the stages behind it, and what could not be applied."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from featurestore.generations.generation import Generations
from featurestore.generations.progress import GenerationProgress, generations_progress
from featurestore.online.pointer import Pointer
from featurestore.online.store import OnlineStore
from foundation.image_report import ImageReport, read_image_report
from foundation.stage_run import StageRun, stage_runs
from foundation.text_table import text_table
from foundation.watermark import Watermark
from graphdb.store import GraphCounts, GraphStore, Head
from ingest.dead_letters.file import DeadLetterFile
from ingest.dead_letters.open import is_kafka, open_dead_letters
from ingest.errors import BrokerRefused, BrokerUnreachable
from ingest.settings import IngestSettings

STAGES = ("statistics",)


@dataclass(frozen=True, slots=True, kw_only=True)
class StageStatus:
    """How far a stage has come: the graph version, None when it never ran on this graph.

    `lag_seconds` is from the commit up to which it is complete to the newest one; 0 when it is
    complete, None when it never ran.
    """

    watermark: int | None
    lag_seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestStatus:
    """How far the graph is behind Kafka, in messages of each topic; None when it does not answer.

    `note` says then why.
    """

    watermark: int
    lag_messages: int | None
    topics: dict[str, int]
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The state of one home; `ingest` is None where events do not come from Kafka.

    `runs` are the last run of each stage.

    `num_dead_letters` leaves those of Kafka out when it does not answer. `images` are those of the
    last training.
    """

    counts: GraphCounts
    version: int
    ingest: IngestStatus | None
    stages: dict[str, StageStatus]
    pointer: Pointer
    generations: Sequence[GenerationProgress]
    runs: Mapping[str, StageRun]
    num_dead_letters: int
    images: ImageReport | None

    def document(self) -> dict[str, object]:
        """As `mmga status --json` prints it."""
        return {
            "graph": {**asdict(self.counts), "version": self.version},
            "stages": {
                **({} if self.ingest is None else {"ingest": asdict(self.ingest)}),
                **{name: asdict(stage) for name, stage in self.stages.items()},
            },
            "generation": asdict(self.pointer),
            "generations": [asdict(generation) for generation in self.generations],
            "runs": {name: asdict(run) for name, run in self.runs.items()},
            "dead_letters": self.num_dead_letters,
        }

    def lines(self) -> list[str]:
        """For people, a line each."""
        counts = self.counts
        graph = (
            f"{counts.users:,} users, {counts.posts:,} posts, {counts.follows:,} follows,"
            f" {counts.mutual_follows:,} mutual pairs (version {self.version:,})"
        )
        ingest = [] if self.ingest is None else [("ingest", _describe_lag(self.ingest))]
        generation = self.pointer.active or "none is active yet: run `mmga train`"
        images = "not read yet: `mmga train` reads them"
        if self.images is not None:
            images = f"{self.images}, as of the last training"
        return text_table(
            [
                ("graph", graph),
                *ingest,
                *((name, _describe(stage)) for name, stage in self.stages.items()),
                ("images", images),
                ("generation", generation),
                *((f"  {each.id}", _describe_generation(each)) for each in self.generations),
                *((f"last {name}", str(run)) for name, run in self.runs.items()),
                ("dead letters", f"{self.num_dead_letters:,}"),
            ]
        )


def read_status(
    graph: GraphStore,
    online: OnlineStore | None,
    generations: Generations,
    settings: IngestSettings,
) -> Status:
    """Read the state; without an online store no stage has run yet."""
    head = graph.head()
    newest = Watermark(graph_id=graph.graph_id, version=head.version, commit_time=head.commit_time)
    stages = {
        stage: _stage(graph.graph_id, head, None if online is None else online.watermark(stage))
        for stage in STAGES
    }
    ingest, num_in_kafka = _kafka(graph, head, settings)
    return Status(
        counts=graph.counts(),
        version=head.version,
        ingest=ingest,
        stages=stages,
        pointer=Pointer() if online is None else online.pointer(),
        generations=generations_progress(generations, online, newest, datetime.now(UTC)),
        runs=stage_runs(settings.home),
        num_dead_letters=DeadLetterFile(settings.dead_letters_path).count() + num_in_kafka,
        images=read_image_report(settings.home, graph.graph_id),
    )


def _kafka(
    graph: GraphStore, head: Head, settings: IngestSettings
) -> tuple[IngestStatus | None, int]:
    """How far ingest has come, and the number of dead letters in Kafka."""
    if not is_kafka(settings.events_url) or settings.events_url is None:
        return None, 0
    from ingest.kafka.lag import read_lag

    try:
        lag = read_lag(settings.events_url, settings.project, settings.kafka, graph.positions())
        with open_dead_letters(settings.events_url, settings) as letters:
            num_letters = letters.count()
    except (BrokerUnreachable, BrokerRefused) as error:
        note = " ".join(str(error).split())
        return IngestStatus(watermark=head.version, lag_messages=None, topics={}, note=note), 0
    status = IngestStatus(watermark=head.version, lag_messages=sum(lag.values()), topics=lag)
    return status, num_letters


def _stage(graph_id: str, head: Head, watermark: Watermark | None) -> StageStatus:
    if watermark is None or watermark.graph_id != graph_id or watermark.version > head.version:
        return StageStatus(watermark=None, lag_seconds=None)
    lag_us = head.commit_time - watermark.commit_time
    return StageStatus(watermark=watermark.version, lag_seconds=max(0, lag_us) / 1_000_000)


def _describe(stage: StageStatus) -> str:
    if stage.watermark is None:
        return "not projected yet: run `mmga statistics`"
    lag = f"{stage.lag_seconds:,.1f} s behind" if stage.lag_seconds else "up to date"
    return f"at version {stage.watermark:,}, {lag}"


def _describe_generation(generation: GenerationProgress) -> str:
    roles = ("active", "previous", "pinned")
    parts = [role for role in roles if getattr(generation, f"is_{role}")]
    parts.append(generation.verdict or "not judged")
    if generation.watermark is not None:
        lag = f"{generation.lag_seconds:,.1f} s behind" if generation.lag_seconds else "up to date"
        parts.append(f"vectors at version {generation.watermark:,}, {lag}")
    return ", ".join([*parts, f"{generation.age_seconds / 86_400:,.1f} days old"])


def _describe_lag(ingest: IngestStatus) -> str:
    if ingest.lag_messages is None:
        return f"behind by an unknown number of messages: {ingest.note}"
    if not ingest.topics:
        return "there is no topic in Kafka yet: `mmga publish FILE --create-topics` makes them"
    if not ingest.lag_messages:
        return "up to date"
    parts = ", ".join(f"{lag:,} of {topic}" for topic, lag in ingest.topics.items() if lag)
    return f"{ingest.lag_messages:,} messages behind ({parts})"
