"""Labels: per subject, task and annotator the newest list; an empty one withdraws."""

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from graphdb.facts import LabelFact, SubjectKind
from graphdb.rules.newest import label_order, newest_labels
from graphdb.rules.stamps import stamp
from graphdb.sqlite import statements
from graphdb.sqlite.json_keys import json_keys
from graphdb.sqlite.write import Write

if TYPE_CHECKING:
    from graphdb.sqlite.posts import Posts


def apply_labels(write: Write, posts: "Posts", facts: Sequence[LabelFact]) -> None:
    """Merge a batch's labels into the graph; the posts among their subjects are loaded."""
    users_facts = [fact for fact in facts if fact.subject_kind == "user"]
    users = write.users
    users.load({fact.subject_id for fact in users_facts})
    standing = [fact for fact in users_facts if fact.time > users.deleted_at(fact.subject_id)]
    users.admit(existing=(), mentioned={fact.subject_id for fact in standing})
    _merge(write, "user", standing, users.keys.__getitem__)
    of_posts = [
        fact
        for fact in facts
        if fact.subject_kind == "post" and fact.time > posts.void_until(fact.subject_id)
    ]
    _merge(write, "post", of_posts, posts.key)


def _merge(
    write: Write, kind: SubjectKind, facts: Sequence[LabelFact], key_of: Callable[[str], int]
) -> None:
    newest = {
        (key_of(subject_id), task, annotator): fact
        for (subject_id, task, annotator), fact in newest_labels(facts).items()
    }
    subjects = json_keys(sorted({subject for subject, _, _ in newest}))
    for *found, standing_stamp, tie in write.connection.execute(
        statements.SELECT_LABEL_ORDERS, (kind, subjects)
    ).fetchall():
        rival = newest.get(tuple(found))
        if rival is not None and label_order(rival) <= (standing_stamp, tie):
            del newest[tuple(found)]
    write.connection.executemany(
        statements.WRITE_LABEL,
        [(kind, *key, *label_order(fact), _labels_text(fact)) for key, fact in newest.items()],
    )
    write.draft.add_labels(kind, ((fact.subject_id, fact.task) for fact in newest.values()))
    write.num_applied += len(newest)


def void_labels(write: Write, kind: SubjectKind, key: int, subject_id: str, until: int) -> None:
    """Delete the labels of one subject up to a time."""
    tasks = write.connection.execute(
        statements.VOID_LABELS, (kind, key, stamp(until, is_deletion=True))
    ).fetchall()
    write.draft.add_labels(kind, [(subject_id, task) for (task,) in tasks])


def _labels_text(fact: LabelFact) -> str:
    return json.dumps(sorted(set(fact.labels)), ensure_ascii=False)
