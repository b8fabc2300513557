"""Our bytes are Feast's bytes: every fast path against the protobuf messages."""

from typing import Any

import numpy as np
import pytest
from feast.infra.key_encoding_utils import deserialize_entity_key, serialize_entity_key
from feast.infra.online_stores.helpers import extract_text_and_num
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import FloatList, Null, Value
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from featurestore.errors import FeatureInvalid
from featurestore.online.entity_key import entity_keys, user_of
from featurestore.online.values import decode, encode
from featurestore.online.varint import read_varint, varint

texts = st.text(st.characters(exclude_categories=["Cs"]))
singles = hnp.arrays(np.float32, st.integers(1, 5), elements=st.floats(width=32))
doubles = hnp.arrays(np.float64, st.integers(1, 5), elements=st.floats())
integers = hnp.arrays(np.int64, st.integers(1, 5))
flags = hnp.arrays(np.bool_, st.integers(1, 5))
moments = hnp.arrays("datetime64[s]", st.integers(1, 5)).filter(lambda a: not np.isnat(a).any())
names = st.lists(texts, min_size=1, max_size=5).map(lambda each: np.array(each, object))
matrices = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 4), st.sampled_from([0, 1, 3, 31, 32, 200])),
    elements=st.floats(width=32),
)


def message(item: Any) -> Value:
    """What Feast makes of one value."""
    if isinstance(item, np.ndarray):
        return Value(float_list_val=FloatList(val=item.tolist()))
    if isinstance(item, str):
        return Value(string_val=item)
    fields = {
        np.bool_: "bool_val",
        np.float32: "float_val",
        np.float64: "double_val",
        np.int64: "int64_val",
        np.datetime64: "unix_timestamp_val",
    }
    number = item.astype(np.int64) if isinstance(item, np.datetime64) else item
    value = Value()
    setattr(value, fields[type(item)], number.item())
    return value


@given(st.one_of(singles, doubles, integers, flags, moments, names, matrices))
def test_bytes_and_texts_are_those_of_feast_and_come_back(column: NDArray[Any]) -> None:
    encoded = encode("x", column)
    messages = [message(item) for item in column]
    for mine, theirs in zip(encoded.values, messages, strict=True):
        parsed = Value()
        parsed.ParseFromString(mine)
        assert parsed.WhichOneof("val") == theirs.WhichOneof("val")
        if not has_nan(column):  # a NaN has many bit patterns
            assert mine == theirs.SerializeToString()
    if not has_nan(column):
        assert list(encoded.texts) == [extract_text_and_num(each, False)[0] for each in messages]
    decoded = decode("x", encoded.values)
    assert decoded.known.all()
    assert decoded.values.dtype == column.dtype
    np.testing.assert_array_equal(decoded.values, column)


def has_nan(column: NDArray[Any]) -> bool:
    return column.dtype.kind == "f" and bool(np.isnan(column).any())


@given(st.integers(-(2**63), 2**63 - 1))
def test_a_varint_comes_back(number: int) -> None:
    assert read_varint(varint(number), 0) == (number % 2**64, len(varint(number)))


def test_nulls_are_missing() -> None:
    stored = [
        b"",
        Value(null_val=Null.NULL).SerializeToString(),
        None,
        Value(int64_val=0).SerializeToString(),
    ]
    decoded = decode("x", stored)
    assert decoded.known.tolist() == [False, False, False, True]
    assert decoded.values.tolist() == [0, 0, 0, 0]
    assert decode("x", [None, b""]).known.tolist() == [False, False]
    written = encode("x", np.array(["2026-01-01", "NaT"], "datetime64[s]")).values
    assert decode("x", written).known.tolist() == [True, False]
    assert decode("x", encode("x", np.array(["a", None], object)).values).known.tolist() == [
        True,
        False,
    ]


@pytest.mark.parametrize(
    "stored",
    [
        [Value(int64_val=1).SerializeToString(), Value(string_val="a").SerializeToString()],
        [Value(bytes_val=b"a").SerializeToString()],
        [Value(float_list_val=FloatList(val=[1.0] * n)).SerializeToString() for n in (2, 3)],
        [b"\x20\xff"],
    ],
    ids=["two types", "a type of no use here", "two widths", "cut short"],
)
def test_what_cannot_be_a_column_is_refused(stored: list[bytes]) -> None:
    with pytest.raises(FeatureInvalid, match="feature x"):
        decode("x", stored)


@given(st.lists(texts, min_size=1))
def test_entity_keys_are_those_of_feast(user_ids: list[str]) -> None:
    keys = [
        EntityKey(join_keys=["user_id"], entity_values=[Value(string_val=user_id)])
        for user_id in user_ids
    ]
    ours = entity_keys(user_ids)
    assert ours == [serialize_entity_key(key, entity_key_serialization_version=3) for key in keys]
    assert [user_of(key) for key in ours] == user_ids
    assert deserialize_entity_key(ours[0], 3) == keys[0]
