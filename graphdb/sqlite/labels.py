"""Labels: per subject, task and annotator the newest list; an empty one withdraws."""

import json
from collections.abc import Callable, Sequence

from graphdb.facts import LabelFact, SubjectKind
from graphdb.rules.newest import label_order, newest_labels
from graphdb.rules.stamps import stamp
from graphdb.sqlite.json_keys import json_keys
from graphdb.sqlite.write import Write

SELECT_LABEL_ORDERS = """
    SELECT subject, task, annotator, stamp, tie
    FROM json_each(?2) AS asked CROSS JOIN labels
    ON subject_kind = ?1 AND subject = asked.value"""
WRITE_LABEL = "INSERT OR REPLACE INTO labels VALUES (?, ?, ?, ?, ?, ?, ?)"
VOID_LABELS = """
    DELETE FROM labels WHERE subject_kind = ? AND subject = ? AND stamp <= ? RETURNING task"""


def apply_labels(
    write: Write,
    facts: Sequence[LabelFact],
    *,
    post_void_until: Callable[[str], int],
    post_key_of: Callable[[str], int],
) -> None:
    """Merge a batch's labels into the graph.

    Of the posts among their subjects, `post_void_until` gives the time up to which facts are void,
    and `post_key_of` the key of the row, which it inserts where there is none.
    """
    of_users = [fact for fact in facts if fact.subject_kind == "user"]
    users = write.users
    users.load({fact.subject_id for fact in of_users})
    of_users = [fact for fact in of_users if fact.time > users.deleted_at(fact.subject_id)]
    users.admit(existing=(), mentioned={fact.subject_id for fact in of_users})
    _merge(write, "user", of_users, users.keys.__getitem__)
    of_posts = [
        fact
        for fact in facts
        if fact.subject_kind == "post" and fact.time > post_void_until(fact.subject_id)
    ]
    _merge(write, "post", of_posts, post_key_of)


def _merge(
    write: Write, kind: SubjectKind, facts: Sequence[LabelFact], key_of: Callable[[str], int]
) -> None:
    newest = {
        (key_of(subject_id), task, annotator): fact
        for (subject_id, task, annotator), fact in newest_labels(facts).items()
    }
    subjects = json_keys(sorted({subject for subject, _, _ in newest}))
    for *found, standing_stamp, tie in write.connection.execute(
        SELECT_LABEL_ORDERS, (kind, subjects)
    ).fetchall():
        rival = newest.get(tuple(found))
        if rival is not None and label_order(rival) <= (standing_stamp, tie):
            del newest[tuple(found)]
    write.connection.executemany(
        WRITE_LABEL,
        [(kind, *key, *label_order(fact), _labels_text(fact)) for key, fact in newest.items()],
    )
    write.draft.add_labels(kind, ((fact.subject_id, fact.task) for fact in newest.values()))
    write.num_applied += len(newest)


def void_labels(write: Write, kind: SubjectKind, key: int, subject_id: str, until: int) -> None:
    """Delete the labels of one subject up to a time."""
    tasks = write.connection.execute(
        VOID_LABELS, (kind, key, stamp(until, is_deletion=True))
    ).fetchall()
    write.draft.add_labels(kind, [(subject_id, task) for (task,) in tasks])


def _labels_text(fact: LabelFact) -> str:
    return json.dumps(sorted(set(fact.labels)), ensure_ascii=False)
