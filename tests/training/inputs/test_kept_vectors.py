import os
from pathlib import Path

import numpy as np

from training.inputs.kept_vectors import KEPT_ENCODERS, KeptVectors, keep

WIDTH = 3


def vectors(*firsts: float) -> np.ndarray:
    return np.array(firsts, np.float32)[:, None] + np.arange(WIDTH, dtype=np.float32)


def hashes(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.uint64)


def test_kept_vectors_are_found_by_the_hashes_of_their_contents(tmp_path: Path) -> None:
    keep(
        tmp_path / "e", WIDTH, [(hashes(9, 2**63 + 1), vectors(0.1, 0.2)), (hashes(4), vectors(3))]
    )
    known, found = KeptVectors(tmp_path / "e", WIDTH).find(hashes(4, 5, 2**63 + 1, 2**64 - 1, 4))
    assert known.tolist() == [True, False, True, False, True]
    assert np.array_equal(found, vectors(3, 0.2, 3))


def test_nothing_is_known_before_anything_is_kept(tmp_path: Path) -> None:
    known, found = KeptVectors(tmp_path / "e", WIDTH).find(hashes(4, 5))
    assert not known.any()
    assert found.shape == (0, WIDTH)


def test_the_first_vector_of_a_content_stays(tmp_path: Path) -> None:
    keep(tmp_path / "e", WIDTH, [(hashes(1, 1), vectors(10, 20)), (hashes(1, 2), vectors(30, 40))])
    keep(tmp_path / "e", WIDTH, [(hashes(2, 3), vectors(50, 60))])
    _, found = KeptVectors(tmp_path / "e", WIDTH).find(hashes(1, 2, 3))
    assert np.array_equal(found, vectors(10, 40, 60))


def test_the_encoders_used_last_are_kept(tmp_path: Path) -> None:
    for number in range(KEPT_ENCODERS):
        keep(tmp_path / f"e{number}", WIDTH, [(hashes(1), vectors(1))])
        os.utime(tmp_path / f"e{number}", (number, number))
    keep(tmp_path / "e0", WIDTH, [(hashes(1), vectors(1))])
    keep(tmp_path / "new", WIDTH, [(hashes(1), vectors(1))])
    left = {path.name for path in tmp_path.iterdir() if path.is_dir()}
    assert left == {"e0", "new", *(f"e{number}" for number in range(2, KEPT_ENCODERS))}
