"""The home folder: made when it is missing, and tried for whether it can be written."""

import tempfile

from ingest.errors import HomeUnusable
from ingest.settings import IngestSettings


def prepare_home(settings: IngestSettings) -> None:
    """Make the home; raises HomeUnusable when it cannot be written."""
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=settings.home):
            pass
    except OSError as error:
        raise HomeUnusable(
            f"cannot write the home folder {settings.home}: {error.strerror or error}; make it"
            " writable or set MMGA_HOME to a folder that is"
        ) from error
