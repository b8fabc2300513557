"""Of a batch's profiles, counts and labels, the newest of each key."""

from collections.abc import Callable, Iterable

from graphdb.facts import EngagementFact, LabelFact, ProfileFact
from graphdb.rules.stamps import stamp

LabelKey = tuple[str, str, str]
"""(subject, task, annotator)"""


def newest_profiles(
    facts: Iterable[ProfileFact], deleted_at: Callable[[str], int]
) -> dict[str, ProfileFact]:
    """By user, of facts that no deletion voids."""
    newest: dict[str, ProfileFact] = {}
    for fact in facts:
        if fact.time <= deleted_at(fact.user_id):
            continue
        rival = newest.get(fact.user_id)
        if rival is None or profile_order(fact) > profile_order(rival):
            newest[fact.user_id] = fact
    return newest


def newest_engagements(facts: Iterable[EngagementFact]) -> dict[str, EngagementFact]:
    """By post: such a fact gives both counts, so the others of its batch change nothing."""
    newest: dict[str, EngagementFact] = {}
    for fact in facts:
        rival = newest.get(fact.post_id)
        if rival is None or (rival.time, rival.tie) < (fact.time, fact.tie):
            newest[fact.post_id] = fact
    return newest


def newest_labels(facts: Iterable[LabelFact]) -> dict[LabelKey, LabelFact]:
    """By key, of facts about one kind of subject."""
    newest: dict[LabelKey, LabelFact] = {}
    for fact in facts:
        key = (fact.subject_id, fact.task, fact.annotator)
        if key not in newest or label_order(fact) > label_order(newest[key]):
            newest[key] = fact
    return newest


def profile_order(fact: ProfileFact) -> tuple[int, int]:
    """The greater wins."""
    return fact.time, fact.tie


def label_order(fact: LabelFact) -> tuple[int, int]:
    """The greater wins: a withdrawal over labels of its time."""
    return stamp(fact.time, is_deletion=not fact.labels), fact.tie
