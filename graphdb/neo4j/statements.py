"""Every statement that reads or changes the graph in Neo4j (the model is in `schema`).

A statement takes its rows as columns, which cost the driver a tenth of what maps do, and returns
at most one row, of collected columns. Each of its MATCHes begins at a unique index.
"""

from collections.abc import Callable
from itertools import product

# ---------------------------------------------------------------- schema and meta

COUNT_NODES = "MATCH (n) RETURN count(n)"
SELECT_INDEX_NAMES = "SHOW INDEXES YIELD name RETURN collect(name)"
AWAIT_INDEXES = "CALL db.awaitIndexes(300)"
SELECT_META = """
MATCH (m:Meta {id: 0}) WHERE m.graph_id IS NOT NULL
RETURN m.format_version, m.graph_id, m.tombstone_key"""
MERGE_META = """
MERGE (m:Meta {id: 0})
ON CREATE SET m.format_version = $format_version, m.graph_id = $graph_id,
    m.tombstone_key = $tombstone_key, m.version = 0, m.commit_time = 0, m.buried_at = 0"""
SELECT_HEAD = "MATCH (m:Meta {id: 0}) RETURN m.version, m.commit_time"

# The first statement of every write: whoever holds Meta writes, the others wait. No later one may
# set a property of Meta from that property's own value: the server then asks for the lock anew, and
# calls it a deadlock where another writer waits. The server keeps the counts, which tell what need
# not be looked for.
ADVANCE = """
MATCH (m:Meta {id: 0})
SET m.version = m.version + 1
WITH m
RETURN m.graph_id, m.version, m.commit_time, m.buried_at,
    COUNT { (:UserTombstone) }, COUNT { (:PostTombstone) }, COUNT { ()-[:UNFOLLOWED]->() }"""
LOCK = "MATCH (m:Meta {id: 0}) SET m.version = m.version"
NOTE_BURIAL = "MATCH (m:Meta {id: 0}) SET m.buried_at = m.version"

# ---------------------------------------------------------------- positions

MOVE_POSITIONS = """
UNWIND range(0, size($keys) - 1) AS i
MERGE (p:Position {key: $keys[i]})
WITH p, i, p.offset AS stored
SET p.source = $sources[i], p.partition = $partitions[i], p.offset = $offsets[i],
    p.fingerprint = $fingerprints[i]
WITH i, stored ORDER BY i
RETURN collect(coalesce(stored, -1))"""
SELECT_OFFSETS = """
UNWIND range(0, size($keys) - 1) AS i
OPTIONAL MATCH (p:Position {key: $keys[i]})
WITH i, p ORDER BY i
RETURN collect(coalesce(p.offset, -1))"""
SELECT_POSITIONS = """
MATCH (p:Position) WHERE $source IS NULL OR p.source = $source
RETURN collect([p.source, p.partition, p.offset, p.fingerprint])"""

# ---------------------------------------------------------------- change feed

APPEND_CHANGE = """
MATCH (m:Meta {id: 0})
SET m.commit_time = $commit_time
CREATE (:Change {version: m.version, commit_time: $commit_time, num_keys: $num_keys,
    users: $users, post_ids: $post_ids, author_ids: $author_ids, followers: $followers,
    followees: $followees, live: $live, label_kinds: $label_kinds,
    label_subjects: $label_subjects, label_tasks: $label_tasks})
RETURN m.version"""
SELECT_REACH = """
MATCH (m:Meta {id: 0})
OPTIONAL MATCH (c:Change) WHERE c.version > 0
WITH m, c ORDER BY c.version LIMIT 1
RETURN m.version, c.version"""
SELECT_CHANGES = """
MATCH (c:Change) WHERE $since < c.version <= $since + $limit
WITH c ORDER BY c.version
RETURN collect([c.version, c.commit_time, c.users, c.post_ids, c.author_ids, c.followers,
    c.followees, c.live, c.label_kinds, c.label_subjects, c.label_tasks])"""
SELECT_CHANGE_SIZES = """
MATCH (c:Change) WHERE c.version > 0
WITH c ORDER BY c.version
RETURN collect(c.version), collect(c.commit_time), collect(c.num_keys)"""
TRIM_CHANGES = """
MATCH (c:Change) WHERE c.version <= $newest
WITH c ORDER BY c.version LIMIT $limit
DELETE c
RETURN count(*)"""

# ---------------------------------------------------------------- users

FIND_USERS = """
RETURN COLLECT { UNWIND $ids AS id MATCH (u:User {user_id: id}) RETURN id },
    COLLECT { UNWIND $ids AS id MATCH (u:StubUser {user_id: id}) RETURN id }"""
CREATE_USERS = "UNWIND $ids AS id CREATE (:User {user_id: id})"
CREATE_STUB_USERS = "UNWIND $ids AS id CREATE (:StubUser {user_id: id})"
PROMOTE_USERS = "UNWIND $ids AS id MATCH (u:StubUser {user_id: id}) REMOVE u:StubUser SET u:User"
DEMOTE_USERS = """
UNWIND $ids AS id MATCH (u:User {user_id: id})
REMOVE u:User, u.evidence SET u:StubUser"""
DELETE_LONELY_STUB_USERS = """
UNWIND $ids AS id MATCH (u:StubUser {user_id: id}) WHERE NOT EXISTS { (u)--() }
DELETE u
RETURN collect(id)"""
RAISE_EVIDENCE = """
UNWIND range(0, size($ids) - 1) AS i
MATCH (u:User {user_id: $ids[i]}) WHERE coalesce(u.evidence, -1) < $times[i]
SET u.evidence = $times[i]"""
# The newest proof of existence of users, whatever holds it.
SELECT_EVIDENCE = """
UNWIND range(0, size($ids) - 1) AS i
MATCH (u:User {user_id: $ids[i]})
WITH i, u, COLLECT { MATCH (u)-[f:FOLLOWS]-() RETURN max(f.since) }
    + COLLECT { MATCH (u)-[f:UNFOLLOWED]-() RETURN max(f.created) } + [u.evidence, u.time] AS times
RETURN collect([i, reduce(newest = -1, time IN times
    | CASE WHEN time > newest THEN time ELSE newest END)])"""

PROFILE_FIELDS = (
    "username",
    "full_name",
    "biography",
    "follower_count",
    "following_count",
    "post_count",
    "is_verified",
    "created_at",
)
SELECT_PROFILE_ORDERS = """
UNWIND $ids AS id
MATCH (u:User {user_id: id}) WHERE u.time IS NOT NULL
RETURN collect([id, u.time, u.tie])"""
WRITE_PROFILES = f"""
UNWIND range(0, size($ids) - 1) AS i
MATCH (u:User {{user_id: $ids[i]}})
SET u.time = $time[i], u.tie = $tie[i],
    {", ".join(f"u.{name} = ${name}[i]" for name in PROFILE_FIELDS)}"""
VOID_PROFILES = f"""
UNWIND range(0, size($ids) - 1) AS i
MATCH (u:User {{user_id: $ids[i]}}) WHERE u.time <= $times[i]
REMOVE u.time, u.tie, {", ".join(f"u.{name}" for name in PROFILE_FIELDS)}"""

# ---------------------------------------------------------------- tombstones

SELECT_USER_TOMBSTONES = """
UNWIND $hashes AS hash
MATCH (t:UserTombstone {user_hash: hash})
RETURN collect([hash, t.time])"""
SELECT_POST_TOMBSTONES = """
UNWIND $hashes AS hash
MATCH (t:PostTombstone {post_hash: hash})
RETURN collect([hash, t.time, t.author_hash])"""
RAISE_USER_TOMBSTONES = """
UNWIND range(0, size($hashes) - 1) AS i
MERGE (t:UserTombstone {user_hash: $hashes[i]})
SET t.time = CASE WHEN t.time > $times[i] THEN t.time ELSE $times[i] END"""
RAISE_POST_TOMBSTONES = """
UNWIND range(0, size($hashes) - 1) AS i
MERGE (t:PostTombstone {post_hash: $hashes[i]})
SET t.time = CASE WHEN t.time > $times[i] THEN t.time ELSE $times[i] END,
    t.author_hash = coalesce($author_hashes[i], t.author_hash)"""
RAISE_TOMBSTONES_OF_AUTHORS = """
UNWIND range(0, size($hashes) - 1) AS i
MATCH (t:PostTombstone {author_hash: $hashes[i]}) WHERE t.time < $times[i]
SET t.time = $times[i]"""

# ---------------------------------------------------------------- follows

# The rule of the newest: a follow wins over an older follow, of a lesser tie where they are of
# one time, and over an unfollow of an earlier time. One that lost to an unfollow is remembered by
# it as `created`, which proves that both users existed. By whether there is any unfollow.
_MEET_UNFOLLOWED = """
OPTIONAL MATCH (a)-[u:UNFOLLOWED]->(b)
WITH i, a, b, u, coalesce(u.time >= $times[i], false) AS lost
FOREACH (ended IN CASE WHEN lost AND coalesce(u.created, -1) < $times[i] THEN [u] ELSE [] END
    | SET ended.created = $times[i])
WITH i, a, b, u, lost WHERE NOT lost
DELETE u"""
WRITE_FOLLOWS = {
    have_unfollowed: f"""
UNWIND range(0, size($followers) - 1) AS i
MATCH (a:User {{user_id: $followers[i]}})
MATCH (b:User {{user_id: $followees[i]}}){_MEET_UNFOLLOWED if have_unfollowed else ""}
MERGE (a)-[f:FOLLOWS]->(b)
WITH i, f WHERE f.since IS NULL OR f.since < $times[i]
    OR (f.since = $times[i] AND f.tie < $ties[i])
SET f.since = $times[i], f.tie = $ties[i], f.fold = $folds[i]
RETURN collect(i)"""
    for have_unfollowed in (False, True)
}

ENDS = ("User", "StubUser")
WRITE_UNFOLLOWS = {
    (follower, followee): f"""
UNWIND range(0, size($followers) - 1) AS i
MATCH (a:{follower} {{user_id: $followers[i]}})
MATCH (b:{followee} {{user_id: $followees[i]}})
OPTIONAL MATCH (a)-[f:FOLLOWS]->(b)
WITH i, a, b, f WHERE f IS NULL OR f.since <= $times[i]
WITH i, a, b, f, f.since AS since
DELETE f
MERGE (a)-[u:UNFOLLOWED]->(b)
WITH i, u, reduce(newest = -1, time IN [since, u.created, $created[i]]
        | CASE WHEN time > newest THEN time ELSE newest END) AS created,
    u.time IS NULL OR u.time < $times[i] OR (u.time = $times[i] AND u.tie < $ties[i]) AS won
SET u.created = CASE WHEN created >= 0 THEN created END,
    u.time = CASE WHEN won THEN $times[i] ELSE u.time END,
    u.tie = CASE WHEN won THEN $ties[i] ELSE u.tie END
RETURN collect(CASE WHEN won THEN i END)"""
    for follower, followee in product(ENDS, ENDS)
}

# ---------------------------------------------------------------- posts

FIND_POSTS = """
RETURN COLLECT {
        UNWIND $ids AS id MATCH (p:Post {post_id: id})<-[:POSTED]-(a:User)
        RETURN [id, a.user_id, null, p.time, p.tie, p.like_count, p.like_time, p.like_tie,
            p.comment_count, p.comment_time, p.comment_tie] },
    COLLECT {
        UNWIND $ids AS id MATCH (p:StubPost {post_id: id})
        RETURN [id, null, p.author_hash, -1, 0, p.like_count, p.like_time, p.like_tie,
            p.comment_count, p.comment_time, p.comment_tie] }"""
SELECT_POSTS_OF_AUTHORS = """
RETURN COLLECT {
        UNWIND range(0, size($ids) - 1) AS i
        MATCH (u:User {user_id: $ids[i]})-[:POSTED]->(p:Post) RETURN [i, p.post_id] },
    COLLECT {
        UNWIND range(0, size($ids) - 1) AS i
        MATCH (p:StubPost {author_hash: $hashes[i]}) RETURN [i, p.post_id] }"""
CREATE_POSTS = "UNWIND $ids AS id CREATE (:Post {post_id: id})"
CREATE_STUB_POSTS = "UNWIND $ids AS id CREATE (:StubPost {post_id: id})"
# Content that is replaced or void goes first, with the hashtags that nothing else has.
CLEAR_POSTS = """
UNWIND $ids AS id
MATCH (p:Post {post_id: id})-[r:POSTED|TAGGED|MENTIONS]-(other)
DELETE r
WITH DISTINCT other WHERE other:Hashtag AND NOT EXISTS { (other)<-[:TAGGED]-() }
DELETE other"""
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

# ---------------------------------------------------------------- labels

_KEYS = {"User": "user_id", "StubUser": "user_id", "Post": "post_id", "StubPost": "post_id"}


def _of_subjects(statement: Callable[[str, str], str]) -> dict[str, str]:
    """A statement for each label that a labelled node may have."""
    return {label: statement(label, key) for label, key in _KEYS.items()}


MERGE_TASKS = "UNWIND $tasks AS task MERGE (:Task {name: task})"
SELECT_LABEL_ORDERS = _of_subjects(
    lambda label, key: (
        f"""
UNWIND $ids AS id
MATCH (s:{label} {{{key}: id}})-[l:LABELED|UNLABELED]->(t:Task)
RETURN collect([id, t.name, l.annotator, type(l) = 'UNLABELED', l.time, l.tie])"""
    )
)
CLEAR_LABELS = _of_subjects(
    lambda label, key: (
        f"""
UNWIND range(0, size($ids) - 1) AS i
MATCH (s:{label} {{{key}: $ids[i]}})-[l:LABELED|UNLABELED]->(t:Task)
WHERE t.name = $tasks[i] AND l.annotator = $annotators[i]
DELETE l"""
    )
)
WRITE_LABELS = _of_subjects(
    lambda label, key: (
        f"""
UNWIND range(0, size($ids) - 1) AS i
MATCH (s:{label} {{{key}: $ids[i]}})
MATCH (t:Task {{name: $tasks[i]}})
CREATE (s)-[:LABELED {{annotator: $annotators[i], labels: $labels[i], time: $times[i],
    tie: $ties[i]}}]->(t)"""
    )
)
WRITE_WITHDRAWALS = _of_subjects(
    lambda label, key: (
        f"""
UNWIND range(0, size($ids) - 1) AS i
MATCH (s:{label} {{{key}: $ids[i]}})
MATCH (t:Task {{name: $tasks[i]}})
CREATE (s)-[:UNLABELED {{annotator: $annotators[i], time: $times[i], tie: $ties[i]}}]->(t)"""
    )
)
VOID_LABELS = _of_subjects(
    lambda label, key: (
        f"""
UNWIND range(0, size($ids) - 1) AS i
MATCH (s:{label} {{{key}: $ids[i]}})-[l:LABELED|UNLABELED]->(t:Task)
WHERE l.time <= $times[i]
WITH i, l, t.name AS task
DELETE l
RETURN collect([$ids[i], task])"""
    )
)
SELECT_LABELLED_TASKS = _of_subjects(
    lambda label, key: (
        f"""
UNWIND $ids AS id
MATCH (s:{label} {{{key}: id}})-[:LABELED|UNLABELED]->(t:Task)
RETURN collect(DISTINCT [id, t.name])"""
    )
)

# ---------------------------------------------------------------- deletions of users

# How many facts each deletion voids: follows at either end, posts, mentions.
COUNT_VOID = {
    label: f"""
UNWIND range(0, size($ids) - 1) AS i
MATCH (u:{label} {{user_id: $ids[i]}})
RETURN collect([i,
    COUNT {{ (u)-[f:FOLLOWS]-() WHERE f.since <= $times[i] }}
    + COUNT {{ (u)-[f:UNFOLLOWED]-() WHERE f.time <= $times[i] }},
    COUNT {{ (u)-[:POSTED]->() }},
    COUNT {{ (u)<-[:MENTIONS]-(p) WHERE p.time <= $times[i] }}])"""
    for label in ENDS
}
# The other end of a void follow existed: it keeps the proof.
VOID_FOLLOWS = {
    label: f"""
UNWIND range(0, size($ids) - 1) AS i
MATCH (u:{label} {{user_id: $ids[i]}})-[f:FOLLOWS]-(other)
WHERE f.since <= $times[i]
WITH DISTINCT f, other, startNode(f).user_id AS follower, endNode(f).user_id AS followee,
    f.since AS since LIMIT $limit
SET other.evidence =
    CASE WHEN coalesce(other.evidence, -1) < since THEN since ELSE other.evidence END
DELETE f
RETURN collect(DISTINCT [follower, followee])"""
    for label in ENDS
}
VOID_UNFOLLOWS = {
    label: f"""
UNWIND range(0, size($ids) - 1) AS i
MATCH (u:{label} {{user_id: $ids[i]}})-[f:UNFOLLOWED]-(other)
WHERE f.time <= $times[i]
WITH DISTINCT f, other, coalesce(f.created, -1) AS created LIMIT $limit
SET other.evidence =
    CASE WHEN coalesce(other.evidence, -1) < created THEN created ELSE other.evidence END
DELETE f
RETURN count(*)"""
    for label in ENDS
}
VOID_MENTIONS = {
    label: f"""
UNWIND range(0, size($ids) - 1) AS i
MATCH (u:{label} {{user_id: $ids[i]}})<-[m:MENTIONS]-(p:Post)
WHERE p.time <= $times[i]
WITH DISTINCT m, p LIMIT $limit
DELETE m
WITH p
MATCH (p)<-[:POSTED]-(a:User)
RETURN collect([p.post_id, a.user_id])"""
    for label in ENDS
}

# ---------------------------------------------------------------- reading

PAGE_USERS = """
MATCH (u:User) WHERE u.user_id > $after
WITH u.user_id AS user_id ORDER BY user_id LIMIT $limit
RETURN collect(user_id)"""
COUNTS = """
RETURN COUNT { (:User) }, COUNT { (:Post) }, COUNT { ()-[:FOLLOWS]->() },
    COUNT { (a:User)-[:FOLLOWS]->(b:User) WHERE EXISTS { (b)-[:FOLLOWS]->(a) } }"""

_PROFILE = f"u.user_id, u.time, {', '.join(f'u.{name}' for name in PROFILE_FIELDS)}"
SELECT_PROFILES = f"""
UNWIND $ids AS id
MATCH (u:User {{user_id: id}})
RETURN collect([{_PROFILE}])"""
PAGE_PROFILES = f"""
MATCH (u:User) WHERE u.user_id > $after
WITH u ORDER BY u.user_id LIMIT $limit
RETURN collect([{_PROFILE}])"""

_POST = """[p.post_id, a.user_id, p.time, p.caption, p.image,
    COLLECT { MATCH (p)-[:TAGGED]->(h) RETURN h.name },
    COLLECT { MATCH (p)-[:MENTIONS]->(u) RETURN u.user_id },
    p.like_count, p.comment_count]"""
SELECT_POSTS = f"""
UNWIND $ids AS id
MATCH (p:Post {{post_id: id}})<-[:POSTED]-(a:User)
RETURN collect({_POST})"""
SELECT_POSTS_OF = f"""
UNWIND $ids AS id
MATCH (a:User {{user_id: id}})-[:POSTED]->(p:Post)
RETURN collect({_POST})"""
PAGE_POSTS = f"""
MATCH (p:Post) WHERE p.post_id > $after
WITH p ORDER BY p.post_id LIMIT $limit
MATCH (p)<-[:POSTED]-(a:User)
RETURN collect({_POST})"""

_OF_KIND = {"user": ("User", "user_id"), "post": ("Post", "post_id")}
SELECT_LABELS = {
    kind: f"""
MATCH (t:Task) WHERE $task IS NULL OR t.name = $task
MATCH (t)<-[l:LABELED]-(s:{label})
RETURN collect([s.{key}, t.name, l.annotator, l.labels, l.time])"""
    for kind, (label, key) in _OF_KIND.items()
}
SELECT_LABELS_OF = {
    kind: f"""
UNWIND $ids AS id
MATCH (s:{label} {{{key}: id}})-[l:LABELED]->(t:Task) WHERE $task IS NULL OR t.name = $task
RETURN collect([s.{key}, t.name, l.annotator, l.labels, l.time])"""
    for kind, (label, key) in _OF_KIND.items()
}
NEIGHBOURS = {
    "followers": """
MATCH (:User {user_id: $id})<-[:FOLLOWS]-(v:User) RETURN collect(v.user_id)""",
    "followees": """
MATCH (:User {user_id: $id})-[:FOLLOWS]->(v:User) RETURN collect(v.user_id)""",
    "mutual": """
MATCH (u:User {user_id: $id})-[:FOLLOWS]->(v:User) WHERE EXISTS { (v)-[:FOLLOWS]->(u) }
RETURN collect(v.user_id)""",
}
# A page of follows is that of a page of followers: the last one is where the next page begins.
PAGE_FOLLOWS = """
MATCH (u:User) WHERE u.user_id > $after
WITH u ORDER BY u.user_id LIMIT $limit
WITH collect(u) AS page
WITH page, page[-1].user_id AS last
UNWIND page AS u
OPTIONAL MATCH (u)-[f:FOLLOWS]->(v:User)
WITH last, u.user_id AS follower, v.user_id AS followee, f.since AS since
WITH last, CASE WHEN since IS NOT NULL THEN follower END AS follower, followee, since
RETURN last, collect(follower), collect(followee), collect(since)"""

# ---------------------------------------------------------------- sampling

# A neighbour's place in the row's random order is a hash of its follow's tie and a number drawn for
# the row, so that draws repeat: polynomials over the field of 2^31 - 1, whose products fit into 64
# bits. Equal ties, and mentions, which have none, are put in an order that does not repeat.
_HASH = """reduce(h = (abs(f.tie % 2147483647) + salt) % 2147483647, k IN $keys
        | h * (h + k) % 2147483647)"""
_FOLLOWS_OF = {
    "followees": "(u)-[f:FOLLOWS]->(v:User) WHERE NOT f.fold IN $folds",
    "followers": "(u)<-[f:FOLLOWS]-(v:User) WHERE NOT f.fold IN $folds",
    "mutual": """(u)-[f:FOLLOWS]->(v:User) WHERE NOT f.fold IN $folds
        AND EXISTS { (v)-[back:FOLLOWS]->(u) WHERE NOT back.fold IN $folds }""",
    "either": "(u)-[f:FOLLOWS]-(v:User) WHERE NOT f.fold IN $folds",
}
_MENTIONS_OF = {
    "mentions": "(u)-[:POSTED]->(:Post)-[:MENTIONS]->(v:User) WHERE v <> u",
    "mentioned_by": "(u)<-[:MENTIONS]-(:Post)<-[:POSTED]-(v:User) WHERE v <> u",
}
_DRAW = {
    relation: f"MATCH {pattern} WITH v, {_HASH} AS place"
    for relation, pattern in _FOLLOWS_OF.items()
} | {
    relation: f"MATCH {pattern} WITH DISTINCT v WITH v, 0 AS place"
    for relation, pattern in _MENTIONS_OF.items()
}
SAMPLE = {
    relation: f"""
UNWIND range(0, size($ids) - 1) AS i
MATCH (u:User {{user_id: $ids[i]}})
WITH i, u, $salts[i] AS salt
RETURN collect([i, COLLECT {{
    {draw}
    ORDER BY place, rand() LIMIT $fan_out
    RETURN v.user_id }}])"""
    for relation, draw in _DRAW.items()
}
COUNT_NEIGHBOURS = {
    relation: f"""
UNWIND range(0, size($ids) - 1) AS i
MATCH (u:User {{user_id: $ids[i]}})
RETURN collect([i, COUNT {{ {counted} }}])"""
    for relation, counted in (
        {relation: f"MATCH {pattern}" for relation, pattern in _FOLLOWS_OF.items()}
        | {
            relation: f"MATCH {pattern} RETURN DISTINCT v"
            for relation, pattern in _MENTIONS_OF.items()
        }
    ).items()
}
# The places of the followees are looked up in a map: the server must not begin at them.
SELECT_FOLLOWS_AMONG = """
UNWIND range(0, size($followers) - 1) AS i
MATCH (:User {user_id: $followers[i]})-[:FOLLOWS]->(v:User)
WITH i, $places[v.user_id] AS j WHERE j IS NOT NULL
RETURN collect(i), collect(j)"""
