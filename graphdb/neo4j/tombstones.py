"""What is remembered of deleted users and posts: keyed hashes of their ids, and times."""

from collections.abc import Iterable, Mapping, Sequence

from graphdb.neo4j.connection import Transaction
from graphdb.rules.tombstones import hash_of

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
NOTE_BURIAL = "MATCH (m:Meta {id: 0}) SET m.buried_at = m.version"
RAISE_TOMBSTONES_OF_AUTHORS = """
UNWIND range(0, size($hashes) - 1) AS i
MATCH (t:PostTombstone {author_hash: $hashes[i]}) WHERE t.time < $times[i]
SET t.time = $times[i]"""


class Tombstones:
    """The tombstones as one transaction sees and raises them; none is read where none is."""

    def __init__(self, tx: Transaction, key: bytes, *, have_users: bool, have_posts: bool) -> None:
        self._tx = tx
        self._key = key
        self._have_users = have_users
        self._have_posts = have_posts

    def hash_of(self, identity: str) -> bytes:
        """BLAKE2b-128 of an id under this graph's random key."""
        return hash_of(identity, self._key)

    def of_users(self, user_ids: Iterable[str]) -> dict[str, int]:
        """Times of the newest deletions of those users that were ever deleted."""
        if not self._have_users:
            return {}
        ids = {self._text(user_id): user_id for user_id in user_ids}
        found = self._tx.ask(SELECT_USER_TOMBSTONES, hashes=list(ids))
        return {ids[text]: time for text, time in found}

    def of_posts(self, post_ids: Iterable[str]) -> dict[str, tuple[int, bytes | None]]:
        """Per post that has one: facts up to which time are void, and the author's hash.

        The time is that of the post's own deletion or of its author's, whichever is greater.
        """
        if not self._have_posts:
            return {}
        ids = {self._text(post_id): post_id for post_id in post_ids}
        found = self._tx.ask(SELECT_POST_TOMBSTONES, hashes=list(ids))
        return {ids[text]: (time, author and bytes.fromhex(author)) for text, time, author in found}

    def bury_users(self, times: Mapping[str, int]) -> None:
        """Void facts about users up to a time each, and about posts known to be theirs."""
        hashes = [self._text(user_id) for user_id in times]
        until = list(times.values())
        self._tx.do(RAISE_USER_TOMBSTONES, hashes=hashes, times=until)
        self._tx.do(RAISE_TOMBSTONES_OF_AUTHORS, hashes=hashes, times=until)
        self._tx.do(NOTE_BURIAL)
        self._have_users = True

    def bury_posts(self, posts: Sequence[tuple[str, int, bytes | None]]) -> None:
        """Void facts up to a time about posts: (post_id, time, hash of the author if known)."""
        if not posts:
            return
        self._tx.do(
            RAISE_POST_TOMBSTONES,
            hashes=[self._text(post_id) for post_id, _, _ in posts],
            times=[time for _, time, _ in posts],
            author_hashes=[author and author.hex() for _, _, author in posts],
        )
        self._have_posts = True

    def _text(self, identity: str) -> str:
        return self.hash_of(identity).hex()
