"""How ingestion runs: read from the environment once, then passed down."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from foundation.settings import (
    EVENTS_URL,
    HOME,
    KAFKA_PREFIX,
    MEDIA_ROOT,
    METRICS_HOST,
    METRICS_PORT,
    PROJECT,
    secrets_with_prefix,
)
from ingest.kafka.address import SCHEME, bootstrap_servers
from ingest.kafka.options import client_options
from ingest.sources.source import SourceSettings

DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestSettings:
    """The home, where events come from, how much is committed at once and how long is kept what.

    `media_root` is where relative paths of images start; None is the folder of the file. `kafka`
    are the options of Kafka's client by their names. Without `metrics_port` nothing
    listens for scrapes.
    """

    home: Path
    project: str = PROJECT.default
    events_url: str | None = None
    media_root: Path | None = None
    kafka: Mapping[str, Any] = field(default_factory=dict)
    metrics_host: str = METRICS_HOST.default
    metrics_port: int | None = None
    batch_size: int = 10_000
    dead_letter_days: int = 90
    change_days: int = 7
    max_changes: int = 10_000_000
    retention_interval_seconds: float = 3600.0
    statistics_interval_seconds: float = 1.0
    poll_seconds: float = 0.5

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read what `foundation.settings` declares of the home, the events, Kafka and metrics.

        Raises SettingInvalid.
        """
        media_root = MEDIA_ROOT.read(environ)
        events_url = EVENTS_URL.read(environ)
        if events_url is not None and events_url.startswith(SCHEME):
            bootstrap_servers(events_url)
        return cls(
            home=HOME.read(environ).absolute(),
            project=PROJECT.read(environ),
            events_url=events_url,
            media_root=None if media_root is None else media_root.absolute(),
            kafka=client_options(secrets_with_prefix(environ, KAFKA_PREFIX)),
            metrics_host=METRICS_HOST.read(environ),
            metrics_port=METRICS_PORT.read(environ),
        )

    @property
    def dead_letters_path(self) -> Path:
        """The file of dead letters."""
        return self.home / "dead_letters.jsonl"

    def source(self, *, follow: bool = False) -> SourceSettings:
        """What opening a source needs to know."""
        return SourceSettings(
            project=self.project, wait=follow, poll_seconds=self.poll_seconds, kafka=self.kafka
        )
