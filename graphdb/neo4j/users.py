"""The users that a batch speaks of: whether they exist, and their tombstones."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from graphdb.neo4j.connection import Transaction
from graphdb.neo4j.subjects import labelled_tasks
from graphdb.neo4j.tombstones import Tombstones
from graphdb.rules.draft import Draft
from graphdb.rules.tombstones import NEVER

MAX_CACHED_USERS = 1_000_000

NODE_LABELS = ("User", "StubUser")
"""What the node of a user is labelled: of one that exists, and of one that is only mentioned."""

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
    + COLLECT { MATCH (u)-[f:UNFOLLOWED]-() RETURN max(f.created) }
    + COLLECT { MATCH (u)-[:POSTED]->(p) RETURN max(p.time) } + [u.evidence, u.time] AS times
RETURN collect([i, reduce(newest = -1, time IN times
    | CASE WHEN time > newest THEN time ELSE newest END)])"""


@dataclass(slots=True)
class UserCache:
    """What a writer remembers between its commits: who exists, and when they were deleted.

    `version` is that of the commit it holds for; -1 while a transaction changes it, so that what
    a failed one has left is forgotten.
    """

    version: int = -1
    existing: set[str] = field(default_factory=set)
    deleted: dict[str, int] = field(default_factory=dict)

    def catch_up(self, *, version: int, buried_at: int) -> None:
        """Forget all when another writer deleted users before the transaction of `version`.

        Who exists goes on to exist until a deletion, which moves `buried_at`.
        """
        since, self.version = self.version, -1
        is_current = buried_at <= since < version
        if since < 0 or not is_current or len(self.existing) > MAX_CACHED_USERS:
            self.forget()

    def forget(self) -> None:
        """Empty the cache."""
        self.version = -1
        self.existing.clear()
        self.deleted.clear()


class Users:
    """Users within one transaction. Load ids before asking whether they exist or were deleted."""

    def __init__(
        self, tx: Transaction, tombstones: Tombstones, draft: Draft, cache: UserCache
    ) -> None:
        self._tx = tx
        self._tombstones = tombstones
        self._draft = draft
        self._existing = cache.existing
        self._deleted = cache.deleted
        self._stubs: set[str] = set()
        self._loaded: set[str] = set()
        self.buried: set[str] = set()
        """Users whom this transaction buried; `settle` them when all facts are in."""

    def load(self, user_ids: Collection[str]) -> None:
        """Find users and tombstones that neither the cache nor this transaction knows."""
        unseen = set(user_ids).difference(self._existing, self._loaded)
        if not unseen:
            return
        existing, stubs = self._tx.ask(FIND_USERS, ids=list(unseen))
        self._existing.update(existing)
        self._stubs.update(stubs)
        self._loaded |= unseen
        self._deleted.update(self._tombstones.of_users(unseen))

    def deleted_at(self, user_id: str) -> int:
        """Time up to which facts about a user are void."""
        return self._deleted.get(user_id, NEVER)

    def none_deleted(self, user_ids: Collection[str]) -> bool:
        """Whether no fact about any of these users can be void."""
        return self._deleted.keys().isdisjoint(user_ids)

    def exists(self, user_id: str) -> bool:
        """Whether a user is more than a stub."""
        return user_id in self._existing

    def label_of(self, user_id: str) -> str:
        """The label of the node that a user has or will have, User or StubUser."""
        return NODE_LABELS[not self.exists(user_id)]

    def is_known(self, user_id: str) -> bool:
        """Whether a user has a node, be it a stub's."""
        return user_id in self._existing or user_id in self._stubs

    def admit(self, *, existing: Collection[str], mentioned: Collection[str] = ()) -> None:
        """Give nodes to users: full ones to those that exist, at least stubs to the others."""
        came = set(existing).difference(self._existing)
        if came:
            promoted = came & self._stubs
            created = came - promoted
            self._run(PROMOTE_USERS, promoted)
            self._run(CREATE_USERS, created)
            self._stubs -= promoted
            self._existing |= came
            self._draft.users |= came
            self.report_labels(promoted)
        unknown = set(mentioned).difference(self._existing, self._stubs)
        self._run(CREATE_STUB_USERS, unknown)
        self._stubs |= unknown

    def report_labels(self, user_ids: Collection[str]) -> None:
        """Add all labels of users that came or went to the feed."""
        self._draft.add_labels("user", labelled_tasks(self._tx, "User", user_ids))

    def _run(self, statement: str, user_ids: Collection[str]) -> None:
        if user_ids:
            self._tx.do(statement, ids=sorted(user_ids))

    def witness(self, evidence: Mapping[str, int]) -> None:
        """Remember, per user, a proof of existence that nothing else will hold."""
        if evidence:
            self._tx.do(RAISE_EVIDENCE, ids=list(evidence), times=list(evidence.values()))

    def bury(self, times: Mapping[str, int]) -> None:
        """Void facts about users up to a time each, from now on."""
        self.buried.update(times)
        self._tombstones.bury_users(times)
        self._deleted.update(times)

    def settle(self) -> None:
        """Decide which buried users still exist; drop the nodes to which nothing refers."""
        existing = [user_id for user_id in self.buried if user_id in self._existing]
        newest = self._tx.ask(SELECT_EVIDENCE, ids=existing) if existing else []
        gone = [existing[i] for i, time in newest if time <= self._deleted[existing[i]]]
        if gone:
            self._tx.do(DEMOTE_USERS, ids=gone)
            self._existing.difference_update(gone)
            self._stubs.update(gone)
        stubs = [user_id for user_id in self.buried if user_id in self._stubs]
        if stubs:
            self._stubs.difference_update(self._tx.ask(DELETE_LONELY_STUB_USERS, ids=stubs))
            self.report_stub_labels(self._stubs.intersection(gone))

    def report_stub_labels(self, user_ids: Collection[str]) -> None:
        """Add the labels that outlive users who went to the feed."""
        self._draft.add_labels("user", labelled_tasks(self._tx, "StubUser", user_ids))
