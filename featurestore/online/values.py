"""Encode columns of features as Feast's `Value` messages, and decode them, without Feast.

A packed repeated float *is* little-endian float32, so matrices and messages are converted without a
loop over numbers. B rows, D width.

| column                      | message field | value_text   | missing reads as |
|-----------------------------|---------------|--------------|------------------|
| float32 (B, D)              | 16, packed    | none         | NaN              |
| float32 (B,)                | 6, 4 bytes    | the number   | NaN              |
| float64 (B,)                | 5, 8 bytes    | the number   | NaN              |
| integers (B,)               | 4, varint     | the number   | 0                |
| bool (B,)                   | 7, varint     | True / False | False            |
| datetime64 (B,)             | 8, seconds    | none         | NaT              |
| strings (B,)                | 2, bytes      | the string   | ""               |
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featurestore.errors import FeatureInvalid
from featurestore.online.varint import read_varint, varint

Column = NDArray[Any] | Sequence[str]

TEXT, INTEGER_32, INTEGER, DOUBLE, FLOAT = b"\x12", b"\x18", b"\x20", b"\x29", b"\x35"
BOOLEAN, TIME, VECTOR, NULL = b"\x38", b"\x40", b"\x82\x01", b"\x98\x01"
PACKED = b"\x0a"


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedColumn:
    """The message of each row, and the text that Feast keeps beside it to filter by."""

    values: list[bytes]
    texts: Sequence[str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedColumn:
    """Values (B,) or (B, D), and which of them are known (B,)."""

    values: NDArray[Any]
    known: NDArray[np.bool_]


def encode(name: str, column: Column) -> EncodedColumn:
    """The messages of one feature. Raises FeatureInvalid when Feast has no type for them."""
    array = np.asarray(column)
    if array.ndim == 2 and array.dtype.kind == "f":
        return encode_vectors(array)
    if array.ndim == 1 and not array.size:
        return EncodedColumn(values=[], texts=[])
    if array.ndim == 1 and array.dtype.kind in ENCODERS:
        return ENCODERS[array.dtype.kind](array)
    raise FeatureInvalid(
        f"feature {name} is {array.dtype} of shape {array.shape}: give (B,) numbers, booleans, "
        "times or strings, or a (B, D) matrix of floats"
    )


def encode_vectors(matrix: NDArray[Any]) -> EncodedColumn:
    """Rows of a (B, D) matrix as packed lists of float32."""
    data = np.ascontiguousarray(matrix, "<f4")
    width = data.shape[1] * 4
    payload = PACKED + varint(width) if width else b""
    header = VECTOR + varint(len(payload) + width) + payload
    raw = data.tobytes()
    values = [header + raw[start : start + width] for start in range(0, len(raw), width or 1)]
    return EncodedColumn(values=values if width else [header] * len(data), texts=[None] * len(data))


def encode_floats(array: NDArray[Any]) -> EncodedColumn:
    """float64 stays double; all other floats are single."""
    tag, data = (DOUBLE, array) if array.dtype == np.float64 else (FLOAT, array.astype("<f4"))
    raw, size = data.astype(data.dtype.newbyteorder("<")).tobytes(), data.itemsize
    return EncodedColumn(
        values=[tag + raw[start : start + size] for start in range(0, len(raw), size)],
        texts=[str(number) for number in data.tolist()],
    )


def encode_integers(array: NDArray[Any]) -> EncodedColumn:
    """Integers as int64; above its range they do not fit."""
    if array.size and int(array.max()) > np.iinfo(np.int64).max:
        raise FeatureInvalid(f"{array.max()} does not fit into 64 bits with a sign")
    numbers = array.tolist()
    return EncodedColumn(
        values=[INTEGER + varint(number) for number in numbers],
        texts=[str(number) for number in numbers],
    )


def encode_booleans(array: NDArray[Any]) -> EncodedColumn:
    """True and False."""
    flags = array.tolist()
    return EncodedColumn(
        values=[BOOLEAN + (b"\x01" if flag else b"\x00") for flag in flags],
        texts=[str(flag) for flag in flags],
    )


def encode_times(array: NDArray[Any]) -> EncodedColumn:
    """Whole seconds since 1970, as Feast keeps them; NaT is a null."""
    seconds = array.astype("datetime64[s]")
    values = [
        NULL + b"\x00" if missing else TIME + varint(number)
        for number, missing in zip(
            seconds.astype(np.int64).tolist(), np.isnat(seconds).tolist(), strict=True
        )
    ]
    return EncodedColumn(values=values, texts=[None] * len(values))


def encode_strings(array: NDArray[Any]) -> EncodedColumn:
    """UTF-8; None is a null."""
    values, texts = [], []
    for text in array.tolist():
        if not (text is None or isinstance(text, str)):
            raise FeatureInvalid(f"a column of strings holds {text!r}: give str or None")
        data = b"" if text is None else text.encode()
        values.append(NULL + b"\x00" if text is None else TEXT + varint(len(data)) + data)
        texts.append(text)
    return EncodedColumn(values=values, texts=texts)


ENCODERS: dict[str, Callable[[NDArray[Any]], EncodedColumn]] = {
    "f": encode_floats,
    "i": encode_integers,
    "u": encode_integers,
    "b": encode_booleans,
    "M": encode_times,
    "U": encode_strings,
    "O": encode_strings,
}


def decode(name: str, messages: Sequence[bytes | None]) -> DecodedColumn:
    """The column of B messages, None or null where a row lacks it.

    Where no row has it the type is not known: NaN (B,). Raises FeatureInvalid when rows differ in
    type or width, or have one that `encode` does not write.
    """
    present = [message for message in messages if message and is_known(message)]
    if not present:
        missing = np.full(len(messages), np.nan, np.float32)
        return DecodedColumn(values=missing, known=np.zeros(len(messages), np.bool_))
    values = decode_present(name, present)
    if len(present) == len(messages):
        return DecodedColumn(values=values, known=np.ones(len(messages), np.bool_))
    known = np.array([is_known(message) for message in messages], np.bool_)
    spread = np.full((len(messages), *values.shape[1:]), MISSING[values.dtype.kind], values.dtype)
    spread[known] = values
    return DecodedColumn(values=spread, known=known)


def is_known(message: bytes | None) -> bool:
    """Whether a message is there and not null."""
    return bool(message) and message is not None and not message.startswith(NULL)


MISSING: dict[str, Any] = {"f": np.nan, "i": 0, "b": False, "M": np.datetime64("NaT"), "O": ""}


def decode_present(name: str, messages: list[bytes]) -> NDArray[Any]:
    """The column of messages of one type, none of them null."""
    first = messages[0]
    tag = first[:2] if first[0] & 0x80 else first[:1]
    if tag not in DECODERS or any(not message.startswith(tag) for message in messages):
        raise FeatureInvalid(
            f"feature {name} holds values of a type that is not read here, or of several "
            f"(field {tag.hex()}): write it again"
        )
    try:
        return DECODERS[tag](messages)
    except ValueError as error:
        raise FeatureInvalid(f"feature {name}: {error}; write it again") from error


def decode_vectors(messages: list[bytes]) -> NDArray[np.float32]:
    """A (B, D) matrix from packed lists of one width."""
    size = len(messages[0])
    length, start = read_varint(messages[0], len(VECTOR))
    if any(len(message) != size for message in messages):
        raise ValueError("its vectors differ in width")
    if length:
        _, start = read_varint(messages[0], start + len(PACKED))
    data = np.frombuffer(b"".join(messages), np.uint8).reshape(len(messages), size)
    return np.ascontiguousarray(data[:, start:]).view("<f4").astype(np.float32, copy=False)


def decode_fixed(messages: list[bytes], dtype: str) -> NDArray[Any]:
    """A (B,) column of numbers of fixed size, after a tag of one byte."""
    size = 1 + np.dtype(dtype).itemsize
    data = np.frombuffer(b"".join(messages), np.uint8).reshape(len(messages), size)
    return np.ascontiguousarray(data[:, 1:]).view(dtype).reshape(-1)


def decode_integers(messages: list[bytes]) -> NDArray[np.int64]:
    """A (B,) column of varints, two's complement."""
    unsigned = np.array([read_varint(message, 1)[0] for message in messages], np.uint64)
    return unsigned.view(np.int64)


def decode_strings(messages: list[bytes]) -> NDArray[Any]:
    """A (B,) column of str objects."""
    texts = np.empty(len(messages), object)
    texts[:] = [message[read_varint(message, 1)[1] :].decode() for message in messages]
    return texts


DECODERS: dict[bytes, Callable[[list[bytes]], NDArray[Any]]] = {
    VECTOR: decode_vectors,
    FLOAT: lambda messages: decode_fixed(messages, "<f4"),
    DOUBLE: lambda messages: decode_fixed(messages, "<f8"),
    INTEGER: decode_integers,
    INTEGER_32: decode_integers,
    BOOLEAN: lambda messages: decode_integers(messages).astype(np.bool_),
    TIME: lambda messages: decode_integers(messages).view("datetime64[s]"),
    TEXT: decode_strings,
}
