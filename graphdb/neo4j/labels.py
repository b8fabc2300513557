"""Labels: per subject, task and annotator the newest list; an empty one withdraws."""

from collections.abc import Callable, Collection, Mapping, Sequence

from graphdb.facts import LabelFact, SubjectKind
from graphdb.neo4j.subjects import of_subjects
from graphdb.neo4j.write import Write
from graphdb.rules.newest import label_order, newest_labels
from graphdb.rules.stamps import stamp

MERGE_TASKS = "UNWIND $tasks AS task MERGE (:Task {name: task})"
SELECT_LABEL_ORDERS = of_subjects(
    lambda label, key: (
        f"""
UNWIND $ids AS id
MATCH (s:{label} {{{key}: id}})-[l:LABELED|UNLABELED]->(t:Task)
RETURN collect([id, t.name, l.annotator, type(l) = 'UNLABELED', l.time, l.tie])"""
    )
)
CLEAR_LABELS = of_subjects(
    lambda label, key: (
        f"""
UNWIND range(0, size($ids) - 1) AS i
MATCH (s:{label} {{{key}: $ids[i]}})-[l:LABELED|UNLABELED]->(t:Task)
WHERE t.name = $tasks[i] AND l.annotator = $annotators[i]
DELETE l"""
    )
)
WRITE_LABELS = of_subjects(
    lambda label, key: (
        f"""
UNWIND range(0, size($ids) - 1) AS i
MATCH (s:{label} {{{key}: $ids[i]}})
MATCH (t:Task {{name: $tasks[i]}})
CREATE (s)-[:LABELED {{annotator: $annotators[i], labels: $labels[i], time: $times[i],
    tie: $ties[i]}}]->(t)"""
    )
)
WRITE_WITHDRAWALS = of_subjects(
    lambda label, key: (
        f"""
UNWIND range(0, size($ids) - 1) AS i
MATCH (s:{label} {{{key}: $ids[i]}})
MATCH (t:Task {{name: $tasks[i]}})
CREATE (s)-[:UNLABELED {{annotator: $annotators[i], time: $times[i], tie: $ties[i]}}]->(t)"""
    )
)
VOID_LABELS = of_subjects(
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


def apply_labels(
    write: Write,
    facts: Sequence[LabelFact],
    *,
    post_void_until: Callable[[str], int],
    post_label_of: Callable[[str], str],
) -> None:
    """Merge a batch's labels into the graph.

    Of the posts among their subjects, `post_void_until` gives the time up to which facts are void,
    and `post_label_of` the label of the node, which it creates where there is none.
    """
    if not facts:
        return
    of_users = [fact for fact in facts if fact.subject_kind == "user"]
    users = write.users
    users.load({fact.subject_id for fact in of_users})
    of_users = [fact for fact in of_users if fact.time > users.deleted_at(fact.subject_id)]
    users.admit(existing=(), mentioned={fact.subject_id for fact in of_users})
    _merge(write, "user", of_users, users.label_of)
    of_posts = [
        fact
        for fact in facts
        if fact.subject_kind == "post" and fact.time > post_void_until(fact.subject_id)
    ]
    _merge(write, "post", of_posts, post_label_of)


def _merge(
    write: Write, kind: SubjectKind, facts: Sequence[LabelFact], label_of: Callable[[str], str]
) -> None:
    groups: dict[str, list[LabelFact]] = {}
    for fact in newest_labels(facts).values():
        groups.setdefault(label_of(fact.subject_id), []).append(fact)
    for label, members in groups.items():
        _write_newer(write, kind, label, members)


def _write_newer(write: Write, kind: SubjectKind, label: str, facts: Collection[LabelFact]) -> None:
    """Write those of the facts, one a key, that are newer than what stands."""
    newest = {(fact.subject_id, fact.task, fact.annotator): fact for fact in facts}
    standing = []
    ids = sorted({fact.subject_id for fact in facts})
    for *found, withdrawn, time, tie in write.tx.ask(SELECT_LABEL_ORDERS[label], ids=ids):
        key = (found[0], found[1], found[2])
        if key not in newest:
            continue
        if label_order(newest[key]) <= (stamp(time, is_deletion=withdrawn), tie):
            del newest[key]
        else:
            standing.append(newest[key])
    if standing:
        write.tx.do(CLEAR_LABELS[label], **_keys(standing))
    _create(write, label, list(newest.values()))
    write.draft.add_labels(kind, ((fact.subject_id, fact.task) for fact in newest.values()))
    write.num_applied += len(newest)


def _create(write: Write, label: str, facts: Sequence[LabelFact]) -> None:
    if facts:
        write.tx.do(MERGE_TASKS, tasks=sorted({fact.task for fact in facts}))
    given = [fact for fact in facts if fact.labels]
    if given:
        labels = [sorted(set(fact.labels)) for fact in given]
        write.tx.do(WRITE_LABELS[label], **_keys(given), **_orders(given), labels=labels)
    withdrawn = [fact for fact in facts if not fact.labels]
    if withdrawn:
        write.tx.do(WRITE_WITHDRAWALS[label], **_keys(withdrawn), **_orders(withdrawn))


def _keys(facts: Sequence[LabelFact]) -> dict[str, list[str]]:
    return {
        "ids": [fact.subject_id for fact in facts],
        "tasks": [fact.task for fact in facts],
        "annotators": [fact.annotator for fact in facts],
    }


def _orders(facts: Sequence[LabelFact]) -> dict[str, list[int]]:
    return {"times": [fact.time for fact in facts], "ties": [fact.tie for fact in facts]}


def void_labels(write: Write, kind: SubjectKind, label: str, times: Mapping[str, int]) -> None:
    """Delete the labels of subjects, whose nodes have one label, up to a time each."""
    if not times:
        return
    gone = write.tx.ask(VOID_LABELS[label], ids=list(times), times=list(times.values()))
    write.draft.add_labels(kind, map(tuple, gone))
