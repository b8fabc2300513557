"""What `mmga status` shows: the graph, the stages behind it, and what could not be applied."""

from dataclasses import asdict, dataclass

from featurestore.online import OnlineStore, Watermark
from graphdb.store import GraphCounts, GraphStore, Head
from ingest.dead_letters import DeadLetters

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
class Status:
    """The state of one home."""

    counts: GraphCounts
    version: int
    stages: dict[str, StageStatus]
    active_generation: str | None
    num_dead_letters: int

    def document(self) -> dict[str, object]:
        """As `mmga status --json` prints it."""
        return {
            "graph": {**asdict(self.counts), "version": self.version},
            "stages": {name: asdict(stage) for name, stage in self.stages.items()},
            "generation": {"active": self.active_generation},
            "dead_letters": self.num_dead_letters,
        }

    def lines(self) -> list[str]:
        """For people, a line each."""
        counts = self.counts
        return [
            f"graph         {counts.users:,} users, {counts.posts:,} posts,"
            f" {counts.follows:,} follows, {counts.mutual_follows:,} mutual pairs"
            f" (version {self.version:,})",
            *(f"{name:<13} {_describe(stage)}" for name, stage in self.stages.items()),
            f"generation    {self.active_generation or 'none is active yet: run `mmga train`'}",
            f"dead letters  {self.num_dead_letters:,}",
        ]


def read_status(graph: GraphStore, online: OnlineStore | None, letters: DeadLetters) -> Status:
    """Read the state; without an online store no stage has run yet."""
    head = graph.head()
    stages = {
        stage: _stage(graph.graph_id, head, None if online is None else online.watermark(stage))
        for stage in STAGES
    }
    return Status(
        counts=graph.counts(),
        version=head.version,
        stages=stages,
        active_generation=None if online is None else online.active_generation(),
        num_dead_letters=letters.count(),
    )


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
