from hashlib import blake2b

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from graphdb.folds import HELD_OUT_FOLDS, TEST_FOLDS, VALIDATION_FOLDS, fold, folds_of_pairs

ids = st.text(min_size=1, max_size=12)


def test_the_fold_is_the_first_word_of_the_digest_of_the_directed_pair() -> None:
    digest = blake2b(b"fan\0star").digest()
    assert fold("fan", "star") == int.from_bytes(digest[:8], "big") % 100
    # Written down, so that no change of the code can move an edge to another fold unseen.
    assert [fold("fan", "star"), fold("star", "fan"), fold("é", "日本")] == [46, 44, 5]


def test_test_and_validation_folds_are_disjoint_and_both_held_out() -> None:
    assert not set(TEST_FOLDS) & set(VALIDATION_FOLDS)
    assert set(TEST_FOLDS) | set(VALIDATION_FOLDS) == set(HELD_OUT_FOLDS)


@given(st.lists(ids, min_size=1, max_size=8, unique=True), st.data())
def test_many_pairs_have_the_folds_of_each(user_ids: list[str], data: st.DataObject) -> None:
    index = st.integers(0, len(user_ids) - 1)
    pairs = data.draw(st.lists(st.tuples(index, index), max_size=20))
    ends = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    folds = folds_of_pairs(user_ids, ends[:, 0], ends[:, 1])
    assert folds.dtype == np.uint8
    assert folds.tolist() == [fold(user_ids[u], user_ids[v]) for u, v in pairs]


def test_folds_are_even() -> None:
    ends = np.indices((200, 200)).reshape(2, -1)
    folds = folds_of_pairs([f"user-{i}" for i in range(200)], ends[0], ends[1])
    counts = np.bincount(folds, minlength=100)
    # 400 expected in each: five deviations of a binomial.
    assert np.abs(counts - 400).max() < 100
