"""How the deleted are remembered: by a hash that only this graph can compute."""

from hashlib import blake2b

NEVER = -1
"""The time of a deletion that did not happen: before every fact."""


def hash_of(identity: str, key: bytes) -> bytes:
    """BLAKE2b-128 of an id under a graph's random key."""
    return blake2b(identity.encode(), key=key, digest_size=16).digest()
