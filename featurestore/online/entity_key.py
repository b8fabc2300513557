"""Feast's bytes for the key of a user (entity key serialisation, version 3), without Feast."""

import struct
from collections.abc import Iterable

from featurestore.definitions import JOIN_KEY

STRING = 2
PREFIX = struct.pack("<III", 1, STRING, len(JOIN_KEY)) + JOIN_KEY.encode()
LENGTH = struct.Struct("<II")
START = len(PREFIX) + LENGTH.size
KEYS_OF_STRINGS = PREFIX + struct.pack("<I", STRING)
"""The prefix of every user's key."""


def entity_keys(user_ids: Iterable[str]) -> list[bytes]:
    """The key of each user, equal to Feast's `serialize_entity_key`."""
    pack = LENGTH.pack
    encoded = (user_id.encode() for user_id in user_ids)
    return [PREFIX + pack(STRING, len(text)) + text for text in encoded]


def split_key(key: bytes) -> tuple[str, bytes]:
    """Split a key with a suffix into user and suffix; on Redis the suffix is the project."""
    (length,) = struct.unpack_from("<I", key, START - 4)
    end = START + length
    return key[START:end].decode(), key[end:]


def user_of(entity_key: bytes) -> str:
    """The user of a key."""
    return entity_key[START:].decode()
