"""Where the paths of images start that the events of a source name."""

from pathlib import Path


def media_folder(source: str, media_root: Path | None) -> str:
    """The media root where one is set, else the folder of a file; empty for a stream.

    `source` is the name in positions and dead letters: of a file, its real path.
    """
    if media_root is not None:
        return str(media_root)
    path = Path(source)
    return str(path.parent) if path.is_absolute() else ""
