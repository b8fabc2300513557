"""What an import does not use: how often, why, and the first of each kind."""

from dataclasses import dataclass, field

MAX_DETAIL_CHARACTERS = 200


class NotUsed(Exception):
    """A file, or an entry of one, is not used; `kind` is counted, `detail` tells one case."""

    def __init__(self, kind: str, detail: str = "") -> None:
        super().__init__(kind)
        self.kind = kind
        self.detail = detail


@dataclass(slots=True, kw_only=True)
class Kind:
    """One kind of what is skipped: how many, and the first by name."""

    num: int = 0
    first: str = ""
    detail: str = ""


@dataclass(slots=True, kw_only=True)
class Skipped:
    """Counts what is skipped by kind; its size does not grow with the number of files."""

    kinds: dict[str, Kind] = field(default_factory=dict)

    def add(self, kind: str, path: str, detail: str = "") -> None:
        """Count one case at a path relative to the imported folder."""
        known = self.kinds.setdefault(kind, Kind())
        known.num += 1
        if known.num == 1 or path < known.first:
            known.first, known.detail = path, detail

    @property
    def num(self) -> int:
        """The number of all cases."""
        return sum(kind.num for kind in self.kinds.values())

    def document(self) -> dict[str, int]:
        """The number of each kind."""
        return {kind: self.kinds[kind].num for kind in sorted(self.kinds)}

    def lines(self) -> list[str]:
        """One line a kind, with an example."""
        return [
            f"skipped: {known.num:,} {kind} (first: {printable(known.first)}"
            f"{': ' + printable(known.detail) if known.detail else ''})"
            for kind, known in sorted(self.kinds.items())
        ]


def printable(text: str) -> str:
    """A text of one line and bounded length that any terminal can print."""
    encoded = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    shown = "".join(letter if letter.isprintable() else "�" for letter in encoded)
    return shown if len(shown) <= MAX_DETAIL_CHARACTERS else f"{shown[:MAX_DETAIL_CHARACTERS]}…"
