"""The nodes that may be labelled: users and posts, and the stubs of those only mentioned."""

from collections.abc import Callable, Collection

from graphdb.neo4j.connection import Transaction

_KEYS = {"User": "user_id", "StubUser": "user_id", "Post": "post_id", "StubPost": "post_id"}


def of_subjects(statement: Callable[[str, str], str]) -> dict[str, str]:
    """The statement for each node label that a subject may have, made of (node label, key)."""
    return {label: statement(label, key) for label, key in _KEYS.items()}


# Without the hint a graph that has grown since the statement was planned is scanned for each id.
SELECT_LABELLED_TASKS = of_subjects(
    lambda label, key: (
        f"""
UNWIND $ids AS id
MATCH (s:{label} {{{key}: id}})-[:LABELED|UNLABELED]->(t:Task)
USING INDEX SEEK s:{label}({key})
RETURN collect(DISTINCT [id, t.name])"""
    )
)


def labelled_tasks(
    tx: Transaction, label: str, subject_ids: Collection[str]
) -> list[tuple[str, str]]:
    """(subject_id, task) of all labels of subjects of one node label, withdrawn ones included."""
    if not subject_ids:
        return []
    found = tx.ask(SELECT_LABELLED_TASKS[label], ids=list(subject_ids))
    return [(subject_id, task) for subject_id, task in found]
