"""The home folder: made when it is missing, and what ingest records in it."""

from pathlib import Path

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
    staged = settings.media_root_path.with_name("media_root.new")
    staged.write_text(f"{root}\n", encoding="utf-8")
    staged.replace(settings.media_root_path)
