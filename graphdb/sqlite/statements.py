"""Every statement that reads or changes the embedded graph (the tables are in `schema`).

A statement that takes many keys takes them as one JSON array, so that a batch is one statement.
`CROSS JOIN` fixes the order: for each key that is asked, one look-up by index.
"""

# ---------------------------------------------------------------- meta, positions, change feed

SELECT_META = "SELECT format_version, graph_id, tombstone_key FROM meta"
INSERT_META = "INSERT INTO meta VALUES (1, ?, ?, ?, 0, 0)"
SELECT_TABLES = "SELECT name FROM sqlite_master WHERE type = 'table'"
SELECT_HEAD = "SELECT version, commit_time FROM meta"
UPDATE_HEAD = "UPDATE meta SET version = ?, commit_time = ?"

SELECT_POSITION = "SELECT offset FROM positions WHERE source = ? AND partition = ?"
SELECT_POSITIONS = """
    SELECT source, partition, offset, fingerprint FROM positions
    WHERE ?1 IS NULL OR source = ?1 ORDER BY source, partition"""
WRITE_POSITION = "INSERT OR REPLACE INTO positions VALUES (?, ?, ?, ?)"

INSERT_CHANGE = "INSERT INTO changes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
SELECT_OLDEST_CHANGE = "SELECT min(version) FROM changes"
SELECT_CHANGES = "SELECT * FROM changes WHERE version > ? ORDER BY version LIMIT ?"
# The newest version to drop: too old, or beyond the newest `max_rows` keys.
SELECT_TRIM_VERSION = """
    SELECT max(version) FROM (
        SELECT version, commit_time, sum(num_keys) OVER (ORDER BY version DESC) AS num_newer
        FROM changes
    ) WHERE commit_time < ? OR num_newer > ?"""
TRIM_CHANGES = """
    DELETE FROM changes WHERE version IN (
        SELECT version FROM changes WHERE version <= ? ORDER BY version LIMIT ?)"""

# ---------------------------------------------------------------- users

FIND_USERS = """
    SELECT user_id, users.key, is_stub
    FROM json_each(?) AS asked CROSS JOIN users ON user_id = asked.value"""
SELECT_USER_NAMES = """
    SELECT users.key, user_id
    FROM json_each(?) AS asked CROSS JOIN users ON users.key = asked.value"""
SELECT_LAST_USER = "SELECT coalesce(max(key), 0) FROM users"
INSERT_USER = "INSERT INTO users (key, user_id, is_stub) VALUES (?, ?, ?)"
PROMOTE_USER = "UPDATE users SET is_stub = 0 WHERE key = ?"
RAISE_EVIDENCE = "UPDATE users SET evidence = ?2 WHERE key = ?1 AND evidence < ?2"
SELECT_EVIDENCE = """
    SELECT max(evidence, coalesce((SELECT time FROM profiles WHERE user = key), -1))
    FROM users WHERE key = ?"""
SET_USER_STUB = "UPDATE users SET is_stub = ? WHERE key = ?"
DELETE_USER = """
    DELETE FROM users WHERE key = ?1
    AND NOT EXISTS (SELECT 1 FROM mentions WHERE user = ?1)
    AND NOT EXISTS (SELECT 1 FROM labels WHERE subject_kind = 'user' AND subject = ?1)"""

SELECT_PROFILE_ORDERS = """
    SELECT user, time, tie FROM json_each(?) AS asked CROSS JOIN profiles ON user = asked.value"""
WRITE_PROFILE = "INSERT OR REPLACE INTO profiles VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
VOID_PROFILE = "DELETE FROM profiles WHERE user = ? AND time <= ?"

# ---------------------------------------------------------------- tombstones

HAVE_TOMBSTONES = """
    SELECT EXISTS (SELECT 1 FROM user_tombstones), EXISTS (SELECT 1 FROM post_tombstones)"""
SELECT_USER_TOMBSTONE = "SELECT time FROM user_tombstones WHERE user_hash = ?"
SELECT_POST_TOMBSTONE = "SELECT time, author_hash FROM post_tombstones WHERE post_hash = ?"
RAISE_USER_TOMBSTONE = """
    INSERT INTO user_tombstones VALUES (?, ?)
    ON CONFLICT DO UPDATE SET time = max(time, excluded.time)"""
RAISE_POST_TOMBSTONE = """
    INSERT INTO post_tombstones VALUES (?, ?, ?)
    ON CONFLICT DO UPDATE SET time = max(time, excluded.time),
        author_hash = coalesce(excluded.author_hash, author_hash)"""
RAISE_TOMBSTONES_OF_AUTHOR = """
    UPDATE post_tombstones SET time = ?2 WHERE author_hash = ?1 AND time < ?2"""

# ---------------------------------------------------------------- posts, mentions

FIND_POSTS = """
    SELECT post_id, posts.key, user_id, author_hash, coalesce(time, -1), coalesce(tie, 0),
        like_count, like_time, like_tie, comment_count, comment_time, comment_tie
    FROM json_each(?) AS asked CROSS JOIN posts ON post_id = asked.value
    LEFT JOIN users ON users.key = author"""
SELECT_LAST_POST = "SELECT coalesce(max(key), 0) FROM posts"
SELECT_POSTS_OF_AUTHOR = """
    SELECT post_id FROM posts WHERE author = ?1 UNION ALL
    SELECT post_id FROM posts WHERE author_hash = ?2"""
INSERT_POST_STUB = "INSERT INTO posts (key, post_id, is_stub, author_hash) VALUES (?, ?, 1, ?)"
WRITE_POST_CONTENT = """
    UPDATE posts SET is_stub = 0, author = ?2, author_hash = NULL, time = ?3, tie = ?4,
        image = ?5, hashtags = ?6, caption = ?7
    WHERE key = ?1"""
WRITE_POST_STUB = """
    UPDATE posts SET is_stub = 1, author = NULL, author_hash = ?2, time = NULL, tie = NULL,
        image = NULL, hashtags = NULL, caption = NULL
    WHERE key = ?1"""
WRITE_POST_COUNTS = """
    UPDATE posts SET like_count = ?2, like_time = ?3, like_tie = ?4,
        comment_count = ?5, comment_time = ?6, comment_tie = ?7
    WHERE key = ?1"""
DELETE_EMPTY_POST = """
    DELETE FROM posts
    WHERE key = ?1 AND is_stub AND like_time IS NULL AND comment_time IS NULL
    AND NOT EXISTS (SELECT 1 FROM labels WHERE subject_kind = 'post' AND subject = ?1)"""
DELETE_MENTIONS = "DELETE FROM mentions WHERE post = ?"
INSERT_MENTION = "INSERT INTO mentions VALUES (?, ?)"
SELECT_VOID_MENTIONS = """
    SELECT mentions.post, post_id, user_id
    FROM mentions CROSS JOIN posts ON posts.key = mentions.post
    CROSS JOIN users ON users.key = author
    WHERE mentions.user = ? AND time <= ? LIMIT ?"""
SELECT_MENTION_ENDS = {
    "mentions": """
    SELECT DISTINCT mentions.user
    FROM posts CROSS JOIN mentions ON mentions.post = posts.key
    CROSS JOIN users ON users.key = mentions.user AND NOT users.is_stub
    WHERE posts.author = ?1 AND mentions.user <> ?1 ORDER BY mentions.user""",
    "mentioned_by": """
    SELECT DISTINCT posts.author
    FROM mentions CROSS JOIN posts ON posts.key = mentions.post
    WHERE mentions.user = ?1 AND posts.author <> ?1 ORDER BY posts.author""",
}
COUNT_MENTIONS = "SELECT count(*) FROM mentions WHERE user = ?"
VOID_MENTION = "DELETE FROM mentions WHERE post = ? AND user = ?"

# ---------------------------------------------------------------- labels

SELECT_LABEL_ORDERS = """
    SELECT subject, task, annotator, stamp, tie
    FROM json_each(?2) AS asked CROSS JOIN labels
    ON subject_kind = ?1 AND subject = asked.value"""
WRITE_LABEL = "INSERT OR REPLACE INTO labels VALUES (?, ?, ?, ?, ?, ?, ?)"
SELECT_LABELLED_TASKS = """
    SELECT DISTINCT subject, task FROM json_each(?2) AS asked CROSS JOIN labels
    ON subject_kind = ?1 AND subject = asked.value"""
VOID_LABELS = """
    DELETE FROM labels WHERE subject_kind = ? AND subject = ? AND stamp <= ? RETURNING task"""

# ---------------------------------------------------------------- follows

SELECT_STANDING_FOLLOWS = """
    SELECT pair, stamp, tie, coalesce(created, -1), 0
    FROM json_each(?1) AS asked CROSS JOIN follows ON pair = asked.value
    UNION ALL
    SELECT pair, stamp, tie, coalesce(created, -1), 1
    FROM json_each(?1) AS asked CROSS JOIN recent_follows ON pair = asked.value"""
WRITE_FOLLOW = "INSERT OR REPLACE INTO follows VALUES (?, ?, ?, nullif(?, -1))"
WRITE_RECENT_FOLLOW = "INSERT OR REPLACE INTO recent_follows VALUES (?, ?, ?, nullif(?, -1))"
INSERT_RECENT_FOLLOWER = "INSERT INTO recent_followers VALUES (?)"
COUNT_RECENT_FOLLOWS = "SELECT count(*) FROM recent_follows"
MERGE_LEVELS = {
    recent: (
        f"SELECT pair FROM {recent} ORDER BY pair LIMIT 1 OFFSET ?",
        f"INSERT INTO {level} SELECT * FROM {recent} WHERE pair <= ? ORDER BY pair",
        f"DELETE FROM {recent} WHERE pair <= ?",
    )
    for recent, level in (("recent_follows", "follows"), ("recent_followers", "followers"))
}
DELETE_FOLLOW = (
    "DELETE FROM follows WHERE pair = ?",
    "DELETE FROM recent_follows WHERE pair = ?",
)
DELETE_FOLLOWER = (
    "DELETE FROM followers WHERE pair = ?",
    "DELETE FROM recent_followers WHERE pair = ?",
)
SELECT_FOLLOWEE_PAIRS = """
    SELECT pair FROM follows WHERE pair BETWEEN ?1 AND ?2 UNION ALL
    SELECT pair FROM recent_follows WHERE pair BETWEEN ?1 AND ?2"""
SELECT_FOLLOWER_PAIRS = """
    SELECT pair FROM followers WHERE pair BETWEEN ?1 AND ?2 UNION ALL
    SELECT pair FROM recent_followers WHERE pair BETWEEN ?1 AND ?2"""

# Follows and unfollows with one user at either end; of the four ways back, one finds a pair.
_FOLLOWS_AT = " UNION ALL ".join(
    [
        f"SELECT pair, stamp, created FROM {level} WHERE pair BETWEEN ?1 AND ?2"
        for level in ("follows", "recent_follows")
    ]
    + [
        f"""SELECT forward.pair, stamp, created
        FROM {turned} AS turned CROSS JOIN {level} AS forward
        ON forward.pair = ((turned.pair & 0xffffffff) << 32) | (turned.pair >> 32)
        WHERE turned.pair BETWEEN ?1 AND ?2"""
        for turned in ("followers", "recent_followers")
        for level in ("follows", "recent_follows")
    ]
)
SELECT_VOID_PAIRS = f"SELECT pair FROM ({_FOLLOWS_AT}) WHERE stamp <= ?3 ORDER BY pair"
SELECT_FOLLOW_EVIDENCE = f"""
    SELECT max(CASE WHEN stamp & 1 THEN coalesce(created, -1) ELSE stamp >> 1 END), count(*)
    FROM ({_FOLLOWS_AT})"""
SELECT_LIVE_FOLLOWS = """
    SELECT pair, stamp >> 1 FROM follows WHERE NOT stamp & 1 UNION ALL
    SELECT pair, stamp >> 1 FROM recent_follows WHERE NOT stamp & 1"""

# ---------------------------------------------------------------- reading

SELECT_EXISTING_USERS = "SELECT key, user_id FROM users WHERE NOT is_stub ORDER BY user_id"
PAGE_USERS = """
    SELECT user_id FROM users WHERE NOT is_stub AND (?1 IS NULL OR user_id > ?1)
    ORDER BY user_id LIMIT ?2"""
COUNT_USERS = "SELECT count(*) FROM users WHERE NOT is_stub"
COUNT_POSTS = "SELECT count(*) FROM posts WHERE NOT is_stub"

_PROFILE = """user_id, time, username, full_name, biography, follower_count, following_count,
        post_count, is_verified, created_at"""
SELECT_PROFILES = f"""
    SELECT {_PROFILE}
    FROM json_each(?) AS asked CROSS JOIN users ON user_id = asked.value AND NOT is_stub
    LEFT JOIN profiles ON user = users.key ORDER BY asked.key"""
SELECT_ALL_PROFILES = f"""
    SELECT {_PROFILE} FROM users LEFT JOIN profiles ON user = users.key WHERE NOT is_stub"""

_POST = """post_id, author.user_id, time, caption, image, hashtags,
        (SELECT json_group_array(mentioned.user_id)
         FROM mentions CROSS JOIN users AS mentioned ON mentioned.key = mentions.user
         WHERE mentions.post = posts.key),
        like_count, comment_count"""
SELECT_POSTS = f"""
    SELECT {_POST}
    FROM json_each(?) AS asked CROSS JOIN posts ON post_id = asked.value AND NOT posts.is_stub
    CROSS JOIN users AS author ON author.key = posts.author ORDER BY asked.key"""
SELECT_POSTS_OF = f"""
    SELECT {_POST}
    FROM json_each(?) AS asked CROSS JOIN users AS author ON author.user_id = asked.value
    CROSS JOIN posts ON posts.author = author.key
    ORDER BY asked.key, time DESC, post_id"""
SELECT_ALL_POSTS = f"""
    SELECT {_POST} FROM posts CROSS JOIN users AS author ON author.key = posts.author
    WHERE NOT posts.is_stub"""

_LABEL_OF = {
    "user": ("users", "user_id"),
    "post": ("posts", "post_id"),
}
SELECT_LABELS = {
    kind: f"""
    SELECT '{kind}', {identity}, task, annotator, labels, stamp >> 1
    FROM labels CROSS JOIN {table} ON {table}.key = subject AND NOT is_stub
    WHERE subject_kind = '{kind}' AND NOT stamp & 1 AND (?1 IS NULL OR task = ?1)
    ORDER BY {identity}, task, annotator"""
    for kind, (table, identity) in _LABEL_OF.items()
}
SELECT_LABELS_OF = {
    kind: f"""
    SELECT '{kind}', {identity}, task, annotator, labels, stamp >> 1
    FROM {table} CROSS JOIN labels ON subject_kind = '{kind}' AND subject = {table}.key
    WHERE {identity} IN (SELECT value FROM json_each(?2)) AND NOT is_stub
        AND NOT stamp & 1 AND (?1 IS NULL OR task = ?1)
    ORDER BY {identity}, task, annotator"""
    for kind, (table, identity) in _LABEL_OF.items()
}
