"""The tables of the embedded graph.

Users and posts have an integer key of our own, which never leaves this package. A follow is one
integer: `pair` = follower key * 2^32 + followee key, so that the follows of a user are a range of
the table. The same pair turned round is the range of a user's followers.

Follows have two levels. New pairs go to a small `recent_` table and move on, in the order of their
key, when it has grown: a batch then touches hundreds of pages in place of one page a row. A pair
stands in exactly one level; readers take both.

A `stamp` is time * 2, plus 1 for a deletion: (stamp, tie) is the order "greatest time, deletion
over creation, greatest tie". Times are microseconds.
"""

TABLES = """
CREATE TABLE meta (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    format_version INTEGER NOT NULL,
    graph_id TEXT NOT NULL,
    tombstone_key BLOB NOT NULL,
    version INTEGER NOT NULL,
    commit_time INTEGER NOT NULL
);

CREATE TABLE positions (
    source TEXT NOT NULL,
    partition INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    fingerprint TEXT,
    PRIMARY KEY (source, partition)
) WITHOUT ROWID;

-- One row a commit: the keys that it changed, as JSON columns.
CREATE TABLE changes (
    version INTEGER PRIMARY KEY,
    commit_time INTEGER NOT NULL,
    num_keys INTEGER NOT NULL,
    users TEXT NOT NULL,
    posts TEXT NOT NULL,
    followers TEXT NOT NULL,
    followees TEXT NOT NULL,
    live TEXT NOT NULL,
    labels TEXT NOT NULL
);

-- `evidence` is the newest proof of existence that no other row of the user holds. A stub is a
-- user that is only mentioned, labelled or unfollowed.
CREATE TABLE users (
    key INTEGER PRIMARY KEY,
    user_id TEXT NOT NULL UNIQUE,
    is_stub INTEGER NOT NULL,
    evidence INTEGER NOT NULL DEFAULT -1
);

CREATE TABLE profiles (
    user INTEGER PRIMARY KEY,
    time INTEGER NOT NULL,
    tie INTEGER NOT NULL,
    username TEXT NOT NULL,
    full_name TEXT,
    biography TEXT,
    follower_count INTEGER,
    following_count INTEGER,
    post_count INTEGER,
    is_verified INTEGER,
    created_at INTEGER
);

-- A stub has counts or labels and no content; the author of a stub is known by its hash alone.
CREATE TABLE posts (
    key INTEGER PRIMARY KEY,
    post_id TEXT NOT NULL UNIQUE,
    is_stub INTEGER NOT NULL,
    author INTEGER,
    author_hash BLOB,
    time INTEGER,
    tie INTEGER,
    like_count INTEGER,
    like_time INTEGER,
    like_tie INTEGER,
    comment_count INTEGER,
    comment_time INTEGER,
    comment_tie INTEGER,
    image TEXT,
    hashtags TEXT,
    caption TEXT
);
CREATE INDEX posts_by_author ON posts (author, time DESC, post_id) WHERE author IS NOT NULL;
CREATE INDEX posts_by_author_hash ON posts (author_hash) WHERE author_hash IS NOT NULL;

CREATE TABLE mentions (
    post INTEGER NOT NULL,
    user INTEGER NOT NULL,
    PRIMARY KEY (post, user)
) WITHOUT ROWID;
CREATE INDEX mentions_by_user ON mentions (user);

-- An annotator who withdrew keeps a row with the labels [].
CREATE TABLE labels (
    subject_kind TEXT NOT NULL,
    subject INTEGER NOT NULL,
    task TEXT NOT NULL,
    annotator TEXT NOT NULL,
    stamp INTEGER NOT NULL,
    tie INTEGER NOT NULL,
    labels TEXT NOT NULL,
    PRIMARY KEY (subject_kind, subject, task, annotator)
) WITHOUT ROWID;

-- A pair that was unfollowed stays, with the newest `follow.created` that was seen of it.
CREATE TABLE follows (
    pair INTEGER PRIMARY KEY,
    stamp INTEGER NOT NULL,
    tie INTEGER NOT NULL,
    created INTEGER
);
CREATE TABLE recent_follows (
    pair INTEGER PRIMARY KEY,
    stamp INTEGER NOT NULL,
    tie INTEGER NOT NULL,
    created INTEGER
);
CREATE TABLE followers (pair INTEGER PRIMARY KEY);
CREATE TABLE recent_followers (pair INTEGER PRIMARY KEY);

-- What is remembered of the deleted: a keyed hash in place of the id.
CREATE TABLE user_tombstones (
    user_hash BLOB PRIMARY KEY,
    time INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE post_tombstones (
    post_hash BLOB PRIMARY KEY,
    time INTEGER NOT NULL,
    author_hash BLOB
) WITHOUT ROWID;
CREATE INDEX post_tombstones_by_author ON post_tombstones (author_hash)
    WHERE author_hash IS NOT NULL;
"""
