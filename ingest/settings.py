"""How ingestion runs: read from the environment once, then passed down."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from ingest.errors import SettingInvalid
from ingest.sources.source import SourceSettings

DAY_SECONDS = 86_400
KAFKA = "MMGA_KAFKA_"
FILE = "_FILE"


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestSettings:
    """The home, where events come from, how much is committed at once and how long is kept what.

    `media_root` is where relative paths of images start; None is the folder of the events. `kafka`
    are the settings of Kafka's client by their lower-case names. Without `metrics_port` nothing
    listens for scrapes.
    """

    home: Path
    project: str = "mmga"
    events_url: str | None = None
    media_root: Path | None = None
    kafka: Mapping[str, str] = field(default_factory=dict)
    metrics_host: str = "127.0.0.1"
    metrics_port: int | None = None
    batch_size: int = 10_000
    dead_letter_days: int = 90
    change_days: int = 7
    max_changes: int = 10_000_000
    retention_interval_seconds: float = 3600.0
    statistics_interval_seconds: float = 10.0
    poll_seconds: float = 0.5

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read MMGA_HOME, MMGA_PROJECT, MMGA_EVENTS_URL, MMGA_MEDIA_ROOT, MMGA_METRICS_HOST,
        MMGA_METRICS_PORT and MMGA_KAFKA_…; a URL and what is Kafka's also as NAME_FILE.

        Raises SettingInvalid.
        """
        media_root = environ.get("MMGA_MEDIA_ROOT")
        return cls(
            home=Path(environ.get("MMGA_HOME") or ".mmga").absolute(),
            project=environ.get("MMGA_PROJECT") or "mmga",
            events_url=_secret(environ, "MMGA_EVENTS_URL"),
            media_root=Path(media_root).absolute() if media_root else None,
            kafka=_kafka_settings(environ),
            metrics_host=environ.get("MMGA_METRICS_HOST") or "127.0.0.1",
            metrics_port=_port(environ, "MMGA_METRICS_PORT"),
        )

    @property
    def dead_letters_path(self) -> Path:
        """The file of dead letters."""
        return self.home / "dead_letters.jsonl"

    @property
    def media_root_path(self) -> Path:
        """The file that records where relative paths of images start."""
        return self.home / "media_root"

    def source(self, *, follow: bool = False) -> SourceSettings:
        """What opening a source needs to know."""
        return SourceSettings(
            project=self.project, wait=follow, poll_seconds=self.poll_seconds, kafka=self.kafka
        )


def _kafka_settings(environ: Mapping[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for variable in environ:
        if variable.startswith(KAFKA):
            name = variable.removesuffix(FILE)
            if value := _secret(environ, name):
                found[name.removeprefix(KAFKA).lower()] = value
    return found


def _secret(environ: Mapping[str, str], name: str) -> str | None:
    """A value as given, or as the file holds it that NAME_FILE names; None when empty."""
    path = environ.get(f"{name}{FILE}")
    if not path:
        return environ.get(name) or None
    try:
        return Path(path).read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingInvalid(
            f"{name}{FILE}={path} cannot be read ({error}); name a readable text file"
        ) from error


def _port(environ: Mapping[str, str], name: str) -> int | None:
    value = environ.get(name)
    if not value:
        return None
    if not (value.isdecimal() and int(value) < 65_536):
        raise SettingInvalid(f"{name}={value} is not the number of a port; give 0 to 65535")
    return int(value)
