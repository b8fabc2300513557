"""A script that loads events into SQLite, as one writes it without this product.

    python -m benchmarks.rivals.json_to_sqlite EVENTS DATABASE

`json.loads` a line, one upsert an event with the newest-time rule, a commit every 10,000. It has
no validation, no stream positions, no change feed, no tombstones and no dead letters.
"""

import json
import sqlite3
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

TABLES = """
CREATE TABLE follows (follower TEXT, followee TEXT, time INTEGER, live INTEGER,
    PRIMARY KEY (follower, followee)) WITHOUT ROWID;
CREATE TABLE posts (post_id TEXT PRIMARY KEY, author TEXT, time INTEGER, caption TEXT, image TEXT,
    hashtags TEXT, like_count INTEGER, comment_count INTEGER, counted INTEGER);
CREATE INDEX posts_by_author ON posts (author);
CREATE TABLE mentions (post_id TEXT, user_id TEXT, PRIMARY KEY (post_id, user_id)) WITHOUT ROWID;
CREATE INDEX mentions_by_user ON mentions (user_id);
"""
UPSERT_FOLLOW = """
INSERT INTO follows (follower, followee, time, live) VALUES (?, ?, ?, ?)
ON CONFLICT (follower, followee) DO UPDATE SET time = excluded.time, live = excluded.live
WHERE excluded.time > time OR (excluded.time = time AND excluded.live < live)
"""
UPSERT_POST = """
INSERT INTO posts (post_id, author, time, caption, image, hashtags, like_count, comment_count,
    counted) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?3)
ON CONFLICT (post_id) DO UPDATE SET author = excluded.author, time = excluded.time,
    caption = excluded.caption, image = excluded.image, hashtags = excluded.hashtags,
    like_count = iif(counted > excluded.counted, like_count, excluded.like_count),
    comment_count = iif(counted > excluded.counted, comment_count, excluded.comment_count),
    counted = max(counted, excluded.counted)
WHERE time IS NULL OR excluded.time > time
"""
UPSERT_COUNTS = """
INSERT INTO posts (post_id, like_count, comment_count, counted) VALUES (?, ?, ?, ?)
ON CONFLICT (post_id) DO UPDATE SET like_count = excluded.like_count,
    comment_count = excluded.comment_count, counted = excluded.counted
WHERE counted IS NULL OR excluded.counted > counted
"""
DELETE_MENTIONS = "DELETE FROM mentions WHERE post_id = ?"
INSERT_MENTION = "INSERT INTO mentions VALUES (?, ?)"


def load(events: Path, database: Path) -> None:
    """Read all events into tables."""
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA journal_mode = wal")
    connection.execute("PRAGMA synchronous = normal")
    connection.executescript(TABLES)
    with events.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            event = json.loads(line)
            time = round(datetime.fromisoformat(event["time"]).timestamp() * 1_000_000)
            if event["type"].startswith("follow"):
                upsert_follow(connection, event["data"], time, event["type"] == "follow.created")
            else:
                upsert_post(connection, event["data"], time)
            if number % 10_000 == 0:
                connection.commit()
    connection.commit()
    connection.close()


def upsert_follow(
    connection: sqlite3.Connection, data: dict[str, Any], time: int, live: bool
) -> None:
    """One follow or its end."""
    connection.execute(UPSERT_FOLLOW, (data["follower_id"], data["followee_id"], time, live))


def upsert_post(connection: sqlite3.Connection, data: dict[str, Any], time: int) -> None:
    """One post with its counts, or its counts alone."""
    post_id = data["post_id"]
    counts = (data["like_count"], data["comment_count"])
    if "user_id" not in data:
        connection.execute(UPSERT_COUNTS, (post_id, *counts, time))
        return
    content = (data["user_id"], time, data["caption"], data["image"])
    hashtags = json.dumps(data["hashtags"])
    if connection.execute(UPSERT_POST, (post_id, *content, hashtags, *counts)).rowcount:
        connection.execute(DELETE_MENTIONS, (post_id,))
        connection.executemany(INSERT_MENTION, [(post_id, user_id) for user_id in data["mentions"]])


if __name__ == "__main__":
    load(Path(sys.argv[1]), Path(sys.argv[2]))
