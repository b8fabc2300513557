"""Generations as rows and lines for a terminal."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from foundation.text_table import text_table

if TYPE_CHECKING:
    from featurestore.generations.generation import Generation, Generations
    from featurestore.online.pointer import Pointer

COLUMNS = ("id", "verdict", "recipe", "seed", "num_users", "graph_version", "created_at")
OWN_LINES = frozenset({"evaluation", "checksums", "losses", "verdicts"})


def summary(known: "Generations", generation: "Generation", pointer: "Pointer") -> dict[str, Any]:
    """The columns of one generation in the list."""
    manifest = generation.manifest
    verdict = known.verdicts(generation.id).last()
    return {
        "id": generation.id,
        **roles(generation.id, pointer),
        "verdict": None if verdict is None else verdict.outcome,
        "recipe": manifest.get("recipe"),
        "seed": manifest.get("seed"),
        "num_users": manifest["num_users"],
        "graph_version": manifest["graph_version"],
        "created_at": manifest["created_at"],
    }


def roles(generation_id: str, pointer: "Pointer") -> dict[str, bool]:
    """What the pointer record says of a generation."""
    return {
        "is_active": generation_id == pointer.active,
        "is_previous": generation_id == pointer.previous,
        "is_pinned": generation_id in pointer.pinned,
    }


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Summaries as aligned lines, each with the roles of the generation."""
    cells = [("", *(column.replace("_", " ") for column in COLUMNS))]
    cells += [(role(row), *(str(row[column]) for column in COLUMNS)) for row in rows]
    return text_table(cells)


def role(row: Mapping[str, Any]) -> str:
    """The roles of one generation in words."""
    names = ("active", "previous", "pinned")
    return ", ".join(name for name in names if row[f"is_{name}"])


def document(known: "Generations", generation: "Generation", pointer: "Pointer") -> dict[str, Any]:
    """All that there is to show of one generation."""
    verdicts = known.verdicts(generation.id).read()
    shown = dict(generation.manifest) | roles(generation.id, pointer)
    shown |= {
        "path": str(generation.path),
        "evaluation": evaluation(generation),
        "verdicts": [asdict(verdict) for verdict in verdicts],
    }
    if generation.id == pointer.active:
        activated = datetime.fromtimestamp(pointer.time / 1_000_000, UTC)
        shown |= {
            "activated_at": activated.isoformat(timespec="seconds"),
            "activated_because": pointer.reason,
        }
    return shown


def evaluation(generation: "Generation") -> Any:
    """The evaluation, or None."""
    path = generation.path / "evaluation.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def lines(shown: Mapping[str, Any]) -> list[str]:
    """A document as text: plain values, then the verdicts, then the figures of the evaluation."""
    plain = {key: value for key, value in shown.items() if key not in OWN_LINES}
    text = text_table([(key, in_words(value)) for key, value in sorted(plain.items())])
    for verdict in shown["verdicts"]:
        text += ["", *verdict_lines(verdict)]
    figures = (shown.get("evaluation") or {}).get("figures") or []
    if figures:
        text += ["", "evaluation (trained; at initial weights; best baseline)"]
    return text + [f"  {figure_in_words(figure)}" for figure in figures]


def verdict_lines(verdict: Mapping[str, Any]) -> list[str]:
    """A verdict with its reasons and figures, a line each."""
    outcome = "passed" if verdict["ok"] else "not passed"
    head = f"{verdict['kind']} at {verdict['time']}"
    if verdict["kind"] == "promotion":
        head += f": {outcome}"
    return [
        head,
        *(f"  {reason}" for reason in verdict["reasons"]),
        *tree(verdict["figures"], indent="  "),
    ]


def tree(values: Mapping[str, Any], indent: str) -> Iterator[str]:
    """Nested values, a line each, those of the innermost level on one line."""
    for name, value in values.items():
        if isinstance(value, Mapping) and any(isinstance(each, Mapping) for each in value.values()):
            yield f"{indent}{name}"
            yield from tree(value, indent + "  ")
        else:
            yield f"{indent}{name}: {in_words(value)}"


def in_words(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {in_words(each)}" for key, each in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return " ".join(in_words(each) for each in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def figure_in_words(figure: Mapping[str, Any]) -> str:
    """One metric of an evaluation on one line."""
    baseline = "no baseline"
    if figure["baseline"] is not None:
        baseline = f"{figure['baseline']:.3f} ({figure['baseline_name']})"
    name = f"{figure['task']}, {figure['method']}, {figure['metric'].replace('_', ' ')}"
    return f"{name}: {figure['trained']:.3f}; {figure['initial']:.3f}; {baseline}"
