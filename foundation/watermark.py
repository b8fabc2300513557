"""How far a stage has come with a graph: what it reads is in `graphdb`, where it is kept is not."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Watermark:
    """How far a stage has projected a graph; `commit_time` is that of `version`."""

    graph_id: str
    version: int
    commit_time: int
