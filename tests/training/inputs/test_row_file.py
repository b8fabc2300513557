import numpy as np
import pytest

from training.inputs.row_file import RowFile


def rows(*numbers):
    return [(number, np.full((2, 3), number % 256, np.uint8)) for number in numbers]


def test_rows_come_back_by_number(tmp_path):
    file = RowFile(folder=tmp_path / "rows", shape=(2, 3))
    assert len(file) == 0
    assert file.rows().shape == (0, 2, 3)
    file.append(rows(7, 5))
    file.append(rows(*range(100, 700)))
    assert file.numbers()[:2].tolist() == [7, 5]
    assert file.rows().shape == (602, 2, 3)
    assert (file.rows()[:, 1, 2] == file.numbers() % 256).all()
    assert file.rows(2)[:, 0, 0].tolist() == [7, 5]


@pytest.mark.parametrize("name", ["rows", "numbers"])
@pytest.mark.parametrize("cut", [1, 5])
def test_a_torn_tail_is_ignored_and_overwritten(tmp_path, name, cut):
    file = RowFile(folder=tmp_path, shape=(2, 3))
    file.append(rows(1, 2, 3))
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[:-cut])
    assert file.numbers().tolist() == [1, 2]
    file.append(rows(9))
    assert file.numbers().tolist() == [1, 2, 9]
    assert file.rows()[2].tolist() == [[9] * 3] * 2


def test_a_reader_keeps_what_it_mapped_while_rows_are_appended(tmp_path):
    file = RowFile(folder=tmp_path, shape=(2, 3))
    file.append(rows(1))
    mapped = file.rows()
    file.append(rows(2))
    assert mapped.tolist() == [[[1] * 3] * 2]
