"""Posts: content, counts, mentions and tombstones, fetched once, merged, and written once."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from graphdb.facts import EngagementFact, PostDeletion, PostFact
from graphdb.neo4j.labels import void_labels
from graphdb.neo4j.subjects import labelled_tasks
from graphdb.neo4j.write import Write
from graphdb.rules.post_merge import PostMerge
from graphdb.rules.post_state import UNKNOWN, Count, PostState

_COUNTS = """p.like_count, p.like_time, p.like_tie,
    p.comment_count, p.comment_time, p.comment_tie"""
FIND_POSTS = f"""
UNWIND $ids AS id
MATCH (p:Post {{post_id: id}})<-[:POSTED]-(a:User)
USING INDEX SEEK p:Post(post_id)
RETURN collect([id, a.user_id, null, p.time, p.tie, {_COUNTS}])"""
FIND_STUB_POSTS = f"""
UNWIND $ids AS id
MATCH (p:StubPost {{post_id: id}})
RETURN collect([id, null, p.author_hash, -1, 0, {_COUNTS}])"""
SELECT_POSTS_OF_AUTHORS = """
RETURN COLLECT {
        UNWIND range(0, size($ids) - 1) AS i
        MATCH (u:User {user_id: $ids[i]})-[:POSTED]->(p:Post) RETURN [i, p.post_id] },
    COLLECT {
        UNWIND range(0, size($ids) - 1) AS i
        MATCH (p:StubPost {author_hash: $hashes[i]}) RETURN [i, p.post_id] }"""
# A hashtag is looked up once, with the rows of the posts that have it.
_CREATE_POSTS = """
UNWIND range(0, size($ids) - 1) AS i
MATCH (a:User {user_id: $authors[i]})
CREATE (a)-[:POSTED]->(p:Post {post_id: $ids[i],
    time: $times[i], tie: $ties[i], caption: $captions[i], image: $images[i], %s})
WITH i, p ORDER BY i
WITH collect(p) AS posts
UNWIND range(0, size($names) - 1) AS j
MERGE (h:Hashtag {name: $names[j]})
WITH posts, h, $rows_of_names[j] AS rows
UNWIND rows AS i
WITH h, posts[i] AS p
CREATE (p)-[:TAGGED]->(h)"""
CREATE_POSTS = (
    _CREATE_POSTS
    % """
    like_count: $like_counts[i], like_time: $like_times[i], like_tie: $like_ties[i],
    comment_count: $comment_counts[i], comment_time: $comment_times[i],
    comment_tie: $comment_ties[i]"""
)
# Counts that are given are of the time and the tie of the content.
CREATE_FRESH_POSTS = (
    _CREATE_POSTS
    % """
    like_count: $like_counts[i],
    like_time: CASE WHEN $like_counts[i] IS NOT NULL THEN $times[i] END,
    like_tie: CASE WHEN $like_counts[i] IS NOT NULL THEN $ties[i] END,
    comment_count: $comment_counts[i],
    comment_time: CASE WHEN $comment_counts[i] IS NOT NULL THEN $times[i] END,
    comment_tie: CASE WHEN $comment_counts[i] IS NOT NULL THEN $ties[i] END"""
)
CREATE_STUB_POSTS = "UNWIND $ids AS id CREATE (:StubPost {post_id: id})"
# Content that is replaced or void goes first, with the hashtags that nothing else has.
CLEAR_POSTS = """
UNWIND $ids AS id
MATCH (p:Post {post_id: id})-[r:POSTED|TAGGED|MENTIONS]-(other)
DELETE r
WITH DISTINCT other WHERE other:Hashtag AND NOT EXISTS { (other)<-[:TAGGED]-() }
DELETE other"""
SELECT_MENTIONS = """
UNWIND $ids AS id
MATCH (p:Post {post_id: id})-[:MENTIONS]->(u)
RETURN collect([id, u.user_id])"""
PROMOTE_POSTS = """
UNWIND $ids AS id MATCH (p:StubPost {post_id: id})
REMOVE p:StubPost, p.author_hash SET p:Post"""
DEMOTE_POSTS = """
UNWIND range(0, size($ids) - 1) AS i
MATCH (p:Post {post_id: $ids[i]})
REMOVE p:Post, p.time, p.tie, p.caption, p.image
SET p:StubPost, p.author_hash = $author_hashes[i]"""
SET_STUB_AUTHORS = """
UNWIND range(0, size($ids) - 1) AS i
MATCH (p:StubPost {post_id: $ids[i]}) SET p.author_hash = $author_hashes[i]"""
WRITE_POSTS = """
UNWIND range(0, size($ids) - 1) AS i
MATCH (p:Post {post_id: $ids[i]})
MATCH (a:User {user_id: $authors[i]})
CREATE (a)-[:POSTED]->(p)
SET p.time = $times[i], p.tie = $ties[i], p.caption = $captions[i], p.image = $images[i]"""
TAG_POSTS = """
UNWIND range(0, size($ids) - 1) AS i
MATCH (p:Post {post_id: $ids[i]})
MERGE (h:Hashtag {name: $names[i]})
CREATE (p)-[:TAGGED]->(h)"""
MENTION = {
    label: f"""
UNWIND range(0, size($ids) - 1) AS i
MATCH (p:Post {{post_id: $ids[i]}})
MATCH (u:{label} {{user_id: $user_ids[i]}})
CREATE (p)-[:MENTIONS]->(u)"""
    for label in ("User", "StubUser")
}
WRITE_COUNTS = {
    label: f"""
UNWIND range(0, size($ids) - 1) AS i
MATCH (p:{label} {{post_id: $ids[i]}})
SET p.like_count = $like_counts[i], p.like_time = $like_times[i], p.like_tie = $like_ties[i],
    p.comment_count = $comment_counts[i], p.comment_time = $comment_times[i],
    p.comment_tie = $comment_ties[i]"""
    for label in ("Post", "StubPost")
}
DELETE_EMPTY_STUB_POSTS = """
UNWIND $ids AS id
MATCH (p:StubPost {post_id: id})
WHERE p.like_time IS NULL AND p.comment_time IS NULL AND NOT EXISTS { (p)--() }
DELETE p"""


class Posts:
    """The posts that one transaction speaks of. Load, change, then `flush`, and `sweep` last."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._merge = PostMerge(
            draft=write.draft,
            deleted_at=write.users.deleted_at,
            hash_of=write.tombstones.hash_of,
        )
        self._states = self._merge.states
        self._nodes: dict[str, str] = {}
        """The label, Post or StubPost, of each post that has a node."""

    def load(self, post_ids: Collection[str]) -> None:
        """Fetch the nodes and tombstones of posts."""
        unseen = set(post_ids).difference(self._states)
        if not unseen:
            return
        statements = {"Post": FIND_POSTS}
        if self._write.present.stub_posts:
            statements["StubPost"] = FIND_STUB_POSTS
        for label, statement in statements.items():
            for row in self._write.tx.ask(statement, ids=list(unseen)):
                self._nodes[row[0]] = label
                if row[1] is not None:
                    self._write.draft.authors[row[0]] = row[1]
                _fill(self._states[row[0]], *row[1:])
        for post_id, (time, author_hash) in self._write.tombstones.of_posts(unseen).items():
            state = self._states[post_id]
            state.void_until = time
            state.author_hash = state.author_hash or author_hash

    def void_until(self, post_id: str) -> int:
        """Time up to which facts about a loaded post are void."""
        return self._states[post_id].void_until

    def label_of(self, post_id: str) -> str:
        """The label of a loaded post's node; it gets one, of a stub, where it has none."""
        if post_id not in self._nodes:
            self._create_stubs([post_id])
        return self._nodes[post_id]

    def void(self, times: Mapping[str, int]) -> None:
        """Void content, counts and labels of posts up to a time each."""
        self.load(times.keys())
        for post_id, until in times.items():
            self._merge.void(post_id, until)

    def apply(
        self,
        deletions: Iterable[PostDeletion],
        facts: Collection[PostFact],
        engagements: Iterable[EngagementFact],
        times_told: Mapping[str, int],
    ) -> None:
        """Apply `post.deleted`, `post.created` and `post.engagement` of loaded posts.

        `times_told` says how many facts of the batch speak of each post.
        """
        users = self._write.users
        users.load({fact.user_id for fact in facts}.union(*[fact.mentions for fact in facts]))
        self._merge.delete(deletions)
        users.admit(existing=self._merge.create(facts, times_told))
        self._merge.engage(engagements)
        self._write.num_applied += self._merge.num_applied

    def flush(self) -> None:
        """Write what changed."""
        states = list(self._states.values())
        self._report_labels([state for state in states if state.is_live != state.was_live])
        new = [s for s in states if s.needs_row and s.post_id not in self._nodes]
        self._create_stubs([state.post_id for state in new if not state.is_live])
        known = [s for s in states if s.post_id in self._nodes]
        self._create_posts([state for state in new if state.is_live])
        self._create_fresh(self._merge.fresh)
        self._write_content([state for state in known if state.content_changed])
        self._write_counts([state for state in known if state.counts_changed])
        contents = [state.new_content for state in states if state.new_content]
        self._mention([*contents, *self._merge.fresh])
        self._write.users.witness(self._merge.witnessed)
        self._write.tombstones.bury_posts(
            [
                (state.post_id, state.void_until, state.author_hash)
                for state in states
                if state.tombstone_changed
            ]
        )
        self._void_labels()

    def sweep(self) -> None:
        """Delete the nodes of posts of which nothing stands any more."""
        ids = [post for post in self._merge.voided if self._nodes.get(post) == "StubPost"]
        if ids:
            self._write.tx.do(DELETE_EMPTY_STUB_POSTS, ids=ids)

    def _report_labels(self, states: list[PostState]) -> None:
        for label, ids in self._by_label(states).items():
            self._write.draft.add_labels("post", labelled_tasks(self._write.tx, label, ids))

    def _by_label(self, states: Iterable[PostState]) -> dict[str, list[str]]:
        groups: dict[str, list[str]] = {}
        for state in states:
            if state.post_id in self._nodes:
                groups.setdefault(self._nodes[state.post_id], []).append(state.post_id)
        return groups

    def _create_stubs(self, post_ids: list[str]) -> None:
        if not post_ids:
            return
        self._write.tx.do(CREATE_STUB_POSTS, ids=post_ids)
        self._nodes.update((post_id, "StubPost") for post_id in post_ids)
        hashes = {post_id: self._states[post_id].author_hash for post_id in post_ids}
        self._set_stub_authors({post: known for post, known in hashes.items() if known})

    def _create_posts(self, states: list[PostState]) -> None:
        facts = [state.new_content for state in states if state.new_content]
        if not facts:
            return
        self._write.tx.do(
            CREATE_POSTS,
            **_content_columns(facts),
            **_hashtag_columns(facts),
            **_count_columns(states),
        )
        self._nodes.update((fact.post_id, "Post") for fact in facts)

    def _create_fresh(self, facts: list[PostFact]) -> None:
        if not facts:
            return
        self._write.tx.do(
            CREATE_FRESH_POSTS,
            **_content_columns(facts),
            **_hashtag_columns(facts),
            like_counts=[fact.like_count for fact in facts],
            comment_counts=[fact.comment_count for fact in facts],
        )

    def _set_stub_authors(self, hashes: Mapping[str, bytes]) -> None:
        if hashes:
            self._write.tx.do(
                SET_STUB_AUTHORS,
                ids=list(hashes),
                author_hashes=[each.hex() for each in hashes.values()],
            )

    def _write_content(self, states: list[PostState]) -> None:
        """Clear what stood, swap labels where a post came or went, then write what stands."""
        standing = [state.post_id for state in states if state.was_live]
        if standing:
            before = self._write.tx.ask(SELECT_MENTIONS, ids=standing)
            self._write.draft.mentions.update(map(tuple, before))
            self._write.tx.do(CLEAR_POSTS, ids=standing)
        gone = [s for s in states if not s.is_live]
        self._demote([s for s in gone if self._nodes[s.post_id] == "Post"])
        self._set_stub_authors({s.post_id: s.author_hash for s in gone if s.author_hash})
        promoted = [s.post_id for s in states if s.is_live and self._nodes[s.post_id] != "Post"]
        if promoted:
            self._write.tx.do(PROMOTE_POSTS, ids=promoted)
            self._nodes.update((post_id, "Post") for post_id in promoted)
        self._write_facts([s.new_content for s in states if s.new_content])

    def _demote(self, states: list[PostState]) -> None:
        if not states:
            return
        self._write.tx.do(
            DEMOTE_POSTS,
            ids=[state.post_id for state in states],
            author_hashes=[state.author_hash and state.author_hash.hex() for state in states],
        )
        self._nodes.update((state.post_id, "StubPost") for state in states)

    def _write_facts(self, facts: list[PostFact]) -> None:
        if not facts:
            return
        self._write.tx.do(WRITE_POSTS, **_content_columns(facts))
        tags = [(fact.post_id, name) for fact in facts for name in sorted(set(fact.hashtags))]
        if tags:
            self._write.tx.do(TAG_POSTS, **_columns(tags, "ids", "names"))

    def _mention(self, facts: list[PostFact]) -> None:
        mentions = [
            (fact.post_id, user_id)
            for fact in facts
            if fact.mentions
            for user_id in self._merge.standing_mentions(fact)
        ]
        self._write.draft.mentions.update(mentions)
        users = self._write.users
        users.admit(existing=(), mentioned={user_id for _, user_id in mentions})
        for label, exist in (("User", True), ("StubUser", False)):
            rows = [row for row in mentions if users.exists(row[1]) == exist]
            if rows:
                self._write.tx.do(MENTION[label], **_columns(rows, "ids", "user_ids"))

    def _write_counts(self, states: list[PostState]) -> None:
        for label, ids in self._by_label(states).items():
            of_label = [self._states[post_id] for post_id in ids]
            self._write.tx.do(WRITE_COUNTS[label], ids=ids, **_count_columns(of_label))

    def _void_labels(self) -> None:
        groups: dict[str, dict[str, int]] = {}
        for post_id, until in self._merge.voided.items():
            if post_id in self._nodes:
                groups.setdefault(self._nodes[post_id], {})[post_id] = until
        for label, times in groups.items():
            void_labels(self._write, "post", label, times)


def posts_of_authors(write: Write, times: Mapping[str, int]) -> dict[str, int]:
    """Posts known to be of these users, content standing or stubs, with their authors' times."""
    user_ids = list(times)
    posts, stubs = write.tx.ask(
        SELECT_POSTS_OF_AUTHORS,
        ids=user_ids,
        hashes=[write.tombstones.hash_of(user_id).hex() for user_id in user_ids],
    )
    return {post_id: times[user_ids[i]] for i, post_id in (*posts, *stubs)}


def _fill(
    state: PostState, author_id: str | None, author_hash: str | None, time: int, tie: int,
    *counts: int | None,
) -> None:  # fmt: skip
    state.author_id = author_id
    state.author_hash = bytes.fromhex(author_hash) if author_hash else None
    state.time, state.tie = time, tie
    state.was_live = state.is_live
    state.likes, state.comments = _count(*counts[:3]), _count(*counts[3:])


def _count(value: int | None, time: int | None, tie: int | None) -> Count:
    return UNKNOWN if time is None or tie is None else Count(value, time, tie)


def _stored(count: Count) -> tuple[int | None, int | None, int | None]:
    return (None, None, None) if count == UNKNOWN else (count.value, count.time, count.tie)


def _content_columns(facts: list[PostFact]) -> dict[str, list[Any]]:
    return {
        "ids": [fact.post_id for fact in facts],
        "authors": [fact.user_id for fact in facts],
        "times": [fact.time for fact in facts],
        "ties": [fact.tie for fact in facts],
        "captions": [fact.caption for fact in facts],
        "images": [fact.image for fact in facts],
    }


def _hashtag_columns(facts: list[PostFact]) -> dict[str, list[Any]]:
    """Each hashtag once, and the rows of the facts that have it."""
    rows_of_names: dict[str, list[int]] = {}
    for row, fact in enumerate(facts):
        for name in set(fact.hashtags):
            rows_of_names.setdefault(name, []).append(row)
    return {"names": list(rows_of_names), "rows_of_names": list(rows_of_names.values())}


def _count_columns(states: list[PostState]) -> dict[str, list[Any]]:
    likes = [_stored(state.likes) for state in states]
    comments = [_stored(state.comments) for state in states]
    return {
        **_columns(likes, "like_counts", "like_times", "like_ties"),
        **_columns(comments, "comment_counts", "comment_times", "comment_ties"),
    }


def _columns(rows: Collection[tuple[Any, ...]], *names: str) -> dict[str, list[Any]]:
    return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
