"""Tables as lines of text for a terminal or a report."""

from collections.abc import Sequence

GAP = "  "


def text_table(
    rows: Sequence[Sequence[str]], *, right_from: int | None = None, rule: bool = False
) -> list[str]:
    """Rows of cells as lines whose columns are aligned; a row may end early.

    Columns from `right_from` on are aligned at their right. `rule` draws a line under the first
    row.
    """
    num_columns = max((len(row) for row in rows), default=0)
    widths = [max(len(row[i]) for row in rows if i < len(row)) for i in range(num_columns)]
    num_left = num_columns if right_from is None else right_from

    def line(row: Sequence[str]) -> str:
        cells = [
            cell.ljust(widths[i]) if i < num_left else cell.rjust(widths[i])
            for i, cell in enumerate(row)
        ]
        return GAP.join(cells).rstrip()

    lines = [line(row) for row in rows]
    if rule and lines:
        lines.insert(1, "-" * (sum(widths) + len(GAP) * (num_columns - 1)))
    return lines
