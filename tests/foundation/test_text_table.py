"""Columns are aligned, whatever their cells hold."""

from hypothesis import given
from hypothesis import strategies as st

from foundation.text_table import text_table

CELLS = st.text("ab é", max_size=5)


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    rows = [("name", "value"), ("a", "1"), ("longer", "20")]
    assert text_table(rows) == ["name    value", "a       1", "longer  20"]
    right = text_table(rows, right_from=1, rule=True)
    assert right == ["name    value", "-------------", "a           1", "longer     20"]


def test_a_row_may_end_early_and_a_table_may_be_empty() -> None:
    assert text_table([("graph", "missing"), ("text", "8 floats", "norm 1")]) == [
        "graph  missing",
        "text   8 floats  norm 1",
    ]
    assert text_table([]) == []


@given(st.lists(st.lists(CELLS, min_size=3, max_size=3), min_size=1), st.integers(0, 3))
def test_each_cell_begins_or_ends_where_its_column_does(
    rows: list[list[str]], right_from: int
) -> None:
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    for row, line in zip(rows, text_table(rows, right_from=right_from), strict=True):
        padded = line.ljust(sum(widths) + 4)
        for i, cell in enumerate(row):
            start = sum(widths[:i]) + 2 * i
            place = padded[start : start + widths[i]]
            assert place == (cell.ljust(widths[i]) if i < right_from else cell.rjust(widths[i]))
