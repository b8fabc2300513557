"""A script that loads follow events into SQLite, as one writes it without this product.

    python -m benchmarks.rivals.json_to_sqlite EVENTS DATABASE

`json.loads` a line, one upsert an event with the newest-time rule, a commit every 10,000. It has
no validation, no stream positions, no change feed, no tombstones and no dead letters.
"""

import json
import sqlite3
import sys
from datetime import datetime
from pathlib import Path

UPSERT = """
INSERT INTO follows (follower, followee, time, live) VALUES (?, ?, ?, ?)
ON CONFLICT (follower, followee) DO UPDATE SET time = excluded.time, live = excluded.live
WHERE excluded.time > time OR (excluded.time = time AND excluded.live < live)
"""


def load(events: Path, database: Path) -> None:
    """Read all events into the table `follows`."""
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA journal_mode = wal")
    connection.execute("PRAGMA synchronous = normal")
    connection.execute(
        "CREATE TABLE follows (follower TEXT, followee TEXT, time INTEGER, live INTEGER,"
        " PRIMARY KEY (follower, followee)) WITHOUT ROWID"
    )
    with events.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            event = json.loads(line)
            time = datetime.fromisoformat(event["time"])
            connection.execute(
                UPSERT,
                (
                    event["data"]["follower_id"],
                    event["data"]["followee_id"],
                    round(time.timestamp() * 1_000_000),
                    event["type"] == "follow.created",
                ),
            )
            if number % 10_000 == 0:
                connection.commit()
    connection.commit()
    connection.close()


if __name__ == "__main__":
    load(Path(sys.argv[1]), Path(sys.argv[2]))
