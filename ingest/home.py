"""The home folder: made when it is missing, and what ingest records in it."""

from pathlib import Path

from foundation.durable_files import write_text
from ingest.errors import HomeUnusable
from ingest.settings import IngestSettings


def prepare_home(settings: IngestSettings) -> None:
    """Make the home; raises HomeUnusable when it cannot be written."""
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        probe = settings.home / ".writable"
        probe.touch()
        probe.unlink(missing_ok=True)
    except OSError as error:
        raise HomeUnusable(
            f"cannot write the home folder {settings.home}: {error.strerror or error}; make it"
            " writable or set MMGA_HOME to a folder that is"
        ) from error


def record_media_root(settings: IngestSettings, root: Path) -> None:
    """Record where relative paths of images start."""
    write_text(settings.media_root_path, f"{root}\n")
