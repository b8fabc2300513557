"""Events a second from a file into the embedded graph, by the real command on one core.

Input: 2,000,000 follow events of 100,000 users, heavy tail, 5 % duplicates, 3 % unfollows,
seed 0, written by `ingest.synthetic.write_follow_events`; into an empty store until the last
commit, in batches of 10,000, the change feed on. The statistics consumer is off; what it adds
stands in a row of its own. The rival is a script without validation, positions or change feed.
Whole processes are timed, interpreter start included. After each turn both hold the same follows.
"""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

from benchmarks.measure import Row, alternate
from graphdb import open_graph
from graphdb.image_reference import folder_and_reference
from ingest.synthetic import write_follow_events
from ingest.synthetic.posts import Kind, write_post_events

NUM_EVENTS = 2_000_000
NUM_USERS = 100_000
POSTS_BAR = 0.9
QUICK = {"num_events": 20_000}


def run(num_events: int = NUM_EVENTS) -> list[Row]:
    """Measure ours and the rival in turn, then ours with the statistics consumer on."""
    with tempfile.TemporaryDirectory() as folder:
        bench = FollowsFromFile(Path(folder), num_events)
        row = alternate(
            "ingest: follow events from a file, one core",
            "events/s",
            ours=bench.ours,
            rival=bench.rival,
            rival_name="json.loads + upsert script",
            rounds=3,
            warm_up=False,
        )
        with_statistics = Row(
            name="ingest: the same, and the statistics of all users projected",
            unit="events/s",
            ours=bench.ours(statistics=True),
            rival_name="ours without statistics",
            rival=row.ours,
            rounds=1,
        )
    return [row, with_statistics]


class FromFile(ABC):
    """An events file, and a fresh store for each turn."""

    def __init__(self, folder: Path, events: Path, num_events: int) -> None:
        self.folder = folder
        self.events = events
        self.num_events = num_events

    @abstractmethod
    def check(self, ours: Path, rival: Path) -> None:
        """Assert that both databases hold the same."""

    def ours(self, *, statistics: bool = False) -> float:
        """Events a second of `mmga ingest` into an empty home, which stays for the comparison."""
        home = self.folder / "home"
        shutil.rmtree(home, ignore_errors=True)
        command = [sys.executable, "-m", "mmga", "ingest", "--events", str(self.events)]
        if not statistics:
            command.append("--no-statistics")
        return self.num_events / seconds_on_one_core(command, {"MMGA_HOME": str(home)})

    def rival(self) -> float:
        """Events a second of the script, which must then hold what ours does."""
        database = self.folder / "rival.db"
        database.unlink(missing_ok=True)
        module = "benchmarks.rivals.json_to_sqlite"
        command = [sys.executable, "-m", module, str(self.events), str(database)]
        rate = self.num_events / seconds_on_one_core(command, {})
        self.check(self.folder / "home/graph.db", database)
        return rate


class FollowsFromFile(FromFile):
    """Follows, repeated ones and ended ones among them."""

    def __init__(self, folder: Path, num_events: int) -> None:
        super().__init__(folder, folder / "follows.jsonl", num_events)
        write_follow_events(
            self.events,
            num_events=num_events,
            num_users=NUM_USERS,
            duplicates=0.05,
            unfollows=0.03,
            seed=0,
        )

    def check(self, ours: Path, rival: Path) -> None:
        """See FromFile."""
        assert our_follows(ours) == rival_follows(rival)


class PostsFromFile(FromFile):
    """Posts, their counts and follows, by their shares."""

    def __init__(
        self, folder: Path, name: str, shares: Mapping[Kind, float], num_events: int
    ) -> None:
        super().__init__(folder, folder / "posts-file.jsonl", num_events)
        self.name = name
        write_post_events(
            self.events, num_events=num_events, num_users=NUM_USERS, shares=shares, seed=0
        )

    def row(self, rounds: int) -> Row:
        """Ours and the script in turn."""
        return alternate(
            f"ingest: {self.name} from a file, one core",
            "events/s",
            ours=self.ours,
            rival=self.rival,
            rival_name="json.loads + upsert script",
            rounds=rounds,
            warm_up=False,
            bar=POSTS_BAR,
        )

    def check(self, ours: Path, rival: Path) -> None:
        """See FromFile."""
        assert our_posts(ours) == rival_posts(rival)
        assert our_follows(ours) == rival_follows(rival)


def seconds_on_one_core(command: list[str], environment: dict[str, str]) -> float:
    """Wall seconds of a whole process that is bound to one core."""
    core = min(os.sched_getaffinity(0))
    start = time.perf_counter()
    subprocess.run(
        command,
        check=True,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )
    return time.perf_counter() - start


def our_follows(database: Path) -> set[tuple[str, str, int]]:
    """Live follows of our store, as (follower, followee, since)."""
    store = open_graph(f"sqlite:///{database}", read_only=True)
    follows = store.follows()
    store.close()
    ids = follows.user_ids
    columns = zip(
        follows.followers.tolist(), follows.followees.tolist(), follows.since.tolist(), strict=True
    )
    return {(ids[follower], ids[followee], since) for follower, followee, since in columns}


def rival_follows(database: Path) -> set[tuple[str, str, int]]:
    """Live follows of the rival's table."""
    connection = sqlite3.connect(database)
    rows = set(connection.execute("SELECT follower, followee, time FROM follows WHERE live"))
    connection.close()
    return rows


def our_posts(database: Path) -> set[tuple[object, ...]]:
    """Live posts of our store: id, author, caption, image, hashtags, mentions and counts."""
    store = open_graph(f"sqlite:///{database}", read_only=True)
    rows = set()
    after: str | None = None
    while user_ids := store.user_ids(after=after):
        after = user_ids[-1]
        for post in store.posts_of(user_ids):
            image = post.image and folder_and_reference(post.image)[1]
            content = (post.post_id, post.user_id, post.caption, image)
            lists = (tuple(post.hashtags), tuple(post.mentions))
            rows.add((*content, *lists, post.like_count, post.comment_count))
    store.close()
    return rows


def rival_posts(database: Path) -> set[tuple[object, ...]]:
    """The same of the rival's tables."""
    connection = sqlite3.connect(database)
    mentions: dict[str, list[str]] = {}
    for post_id, user_id in connection.execute("SELECT * FROM mentions ORDER BY user_id"):
        mentions.setdefault(post_id, []).append(user_id)
    rows = {
        (*content, tuple(json.loads(hashtags)), tuple(mentions.get(content[0], ())), *counts)
        for *content, hashtags, likes, comments in connection.execute(
            "SELECT post_id, author, caption, image, hashtags, like_count, comment_count FROM posts"
            " WHERE author IS NOT NULL"
        )
        for counts in [(likes, comments)]
    }
    connection.close()
    return rows
