"""The graph that format 1 has left: `tests/fixtures/format_1`.

`graph.sql` is what the last version of format 1 made of `events.jsonl` with `mmga ingest
--batch-size 4` and MMGA_MEDIA_ROOT=/media, as text.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "fixtures" / "format_1"
EVENTS = FOLDER / "events.jsonl"
MEDIA_ROOT = "/media"
HEAD = 7
DIGEST = "c147b429ab1b331f1a6620dea79a2ab8"
"""What `mmga digest` printed then."""


def restore(path: Path) -> None:
    """Make the graph anew at `path`."""
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.executescript((FOLDER / "graph.sql").read_text(encoding="utf-8"))
