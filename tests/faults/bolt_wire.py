"""Bolt, the protocol of Neo4j, as far as a proxy must read it: who begins, runs and commits what.

Messages are divided into chunks of (16-bit length, bytes) that end with an empty one; each is a
PackStream structure whose signature tells what it is. Requests of a connection are answered in
their order, each by one summary, before which records may come.
"""

import struct
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.faults.tcp_proxy import Message

PROPOSALS_BYTES = 20
MANIFEST = b"\x00\x00\x01\xff"
REQUESTS = {
    0x01: "HELLO",
    0x6A: "LOGON",
    0x6B: "LOGOFF",
    0x0F: "RESET",
    0x10: "RUN",
    0x3F: "PULL",
    0x2F: "DISCARD",
    0x11: "BEGIN",
    0x12: "COMMIT",
    0x13: "ROLLBACK",
    0x54: "TELEMETRY",
    0x66: "ROUTE",
}
GOODBYE = 0x02
ANSWERS = {0x70: "SUCCESS", 0x71: "RECORD", 0x7E: "IGNORED", 0x7F: "FAILURE"}
ADVANCES = "m.version + 1"
"""What only the first statement of a commit holds."""
MOVES = "MERGE (p:Position"
"""What only the statement that moves the positions holds."""


@dataclass(slots=True, kw_only=True)
class Transaction:
    """What one transaction has asked for: its statements, and where it moves the positions."""

    statements: list[str] = field(default_factory=list)
    moves: dict[str, int] = field(default_factory=dict)

    @property
    def is_batch(self) -> bool:
        """Whether it commits a batch of events."""
        return any(ADVANCES in each for each in self.statements)


@dataclass(slots=True, kw_only=True)
class BoltMessage(Message):
    """A request, or an answer and the request that it answers; else bytes of the handshake."""

    name: str = ""
    transaction: Transaction | None = None
    request: "BoltMessage | None" = None

    @property
    def is_step(self) -> bool:
        """Whether it is a request to run a statement of a batch, or to commit the batch."""
        return (
            self.name in ("RUN", "COMMIT")
            and self.transaction is not None
            and self.transaction.is_batch
        )

    @property
    def is_commit(self) -> bool:
        """Whether it is the request to commit a batch."""
        return self.is_step and self.name == "COMMIT"

    @property
    def confirms_commit(self) -> bool:
        """Whether it is the answer that a batch has been committed."""
        return self.name == "SUCCESS" and self.request is not None and self.request.is_commit


class Ledger:
    """Where the positions went with each batch that the server said it had committed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._moves: dict[str, list[int]] = {}
        self.num_commits = 0

    def enter(self, transaction: Transaction) -> None:
        """A batch was committed."""
        with self._lock:
            self.num_commits += 1
            for key, offset in transaction.moves.items():
                self._moves.setdefault(key, []).append(offset)

    def clear(self) -> None:
        """Forget all of it."""
        with self._lock:
            self._moves.clear()
            self.num_commits = 0

    def moves(self) -> dict[str, list[int]]:
        """The offsets to which each partition was moved, in the order of their confirmations."""
        with self._lock:
            return {key: list(offsets) for key, offsets in self._moves.items()}


class BoltWire:
    """See Wire; one connection. Enters into the ledger what the server confirms."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._client = _Stream(self._client_handshake)
        self._server = _Stream(self._server_handshake)
        self._has_manifest = False
        self._transaction: Transaction | None = None
        self._unanswered: deque[BoltMessage] = deque()

    def client_sent(self, data: bytes) -> list[BoltMessage]:
        """See Wire."""
        return [self._request(raw, payload) for raw, payload in self._client.divide(data)]

    def server_sent(self, data: bytes) -> list[BoltMessage]:
        """See Wire."""
        return [self._answer(raw, payload) for raw, payload in self._server.divide(data)]

    def _request(self, raw: bytes, payload: bytes) -> BoltMessage:
        signature = payload[1] if payload else GOODBYE
        message = BoltMessage(to_server=True, content=raw, name=REQUESTS.get(signature, ""))
        if message.name == "BEGIN":
            self._transaction = Transaction()
        elif message.name == "RUN" and self._transaction is not None:
            _read_statement(payload, self._transaction)
        message.transaction = self._transaction
        if message.name in ("COMMIT", "ROLLBACK", "RESET"):
            self._transaction = None
        if payload and signature != GOODBYE:
            self._unanswered.append(message)
        return message

    def _answer(self, raw: bytes, payload: bytes) -> BoltMessage:
        message = BoltMessage(to_server=False, content=raw)
        if payload:
            message.name = ANSWERS[payload[1]]
            is_summary = message.name != "RECORD"
            message.request = self._unanswered.popleft() if is_summary else self._unanswered[0]
            if message.confirms_commit and message.request.transaction is not None:
                self._ledger.enter(message.request.transaction)
        return message

    def _client_handshake(self, data: bytes, num_done: int) -> int | None:
        """The length of the next part of the handshake, 0 when it is over, None: not known yet."""
        if num_done == 0:
            return PROPOSALS_BYTES
        if num_done == 1 and self._has_manifest:
            return _varint_end(data, 4)
        return 0

    def _server_handshake(self, data: bytes, num_done: int) -> int | None:
        if num_done:
            return 0
        if len(data) < 4:
            return None
        if data[:4] != MANIFEST:
            return 4
        self._has_manifest = True
        end = _varint_end(data, 4)
        if end is None:
            return None
        return _varint_end(data, end + 4 * _varint(data[4:end]))


class _Stream:
    """One direction of a connection."""

    def __init__(self, handshake: Callable[[bytes, int], int | None]) -> None:
        self._handshake = handshake
        self._num_handshakes = 0
        self._is_open = False
        self._buffer = b""

    def divide(self, data: bytes) -> list[tuple[bytes, bytes]]:
        """The bytes and the payload of each message that is complete; a handshake has none."""
        self._buffer += data
        found: list[tuple[bytes, bytes]] = []
        while self._buffer and (part := self._next()) is not None:
            raw, payload = part
            self._buffer = self._buffer[len(raw) :]
            found.append((raw, payload))
        return found

    def _next(self) -> tuple[bytes, bytes] | None:
        if not self._is_open:
            length = self._handshake(self._buffer, self._num_handshakes)
            if length is None or length > len(self._buffer):
                return None
            if length:
                self._num_handshakes += 1
                return self._buffer[:length], b""
            self._is_open = True
        at, payload = 0, b""
        while len(self._buffer) >= at + 2:
            [size] = struct.unpack_from(">H", self._buffer, at)
            if size == 0:
                return self._buffer[: at + 2], payload
            payload += self._buffer[at + 2 : at + 2 + size]
            at += 2 + size
        return None


def _varint_end(data: bytes, start: int) -> int | None:
    """Where the varint ends that starts here; None when not all of it is there."""
    for place in range(start, len(data)):
        if data[place] < 0x80:
            return place + 1
    return None


def _varint(data: bytes) -> int:
    return sum((byte & 0x7F) << 7 * place for place, byte in enumerate(data))


def _read_statement(payload: bytes, transaction: Transaction) -> None:
    statement, at = unpack(payload, 2)
    transaction.statements.append(statement)
    if MOVES in statement:
        parameters, _ = unpack(payload, at)
        transaction.moves = dict(zip(parameters["keys"], parameters["offsets"], strict=True))


def unpack(data: bytes, at: int) -> tuple[Any, int]:
    """The PackStream value at this place, and where the next one starts."""
    marker = data[at]
    at += 1
    if marker < 0x80:
        return marker, at
    if marker >= 0xF0:
        return marker - 0x100, at
    if marker in _CONSTANTS:
        return _CONSTANTS[marker], at
    if marker in _NUMBERS:
        form = _NUMBERS[marker]
        return struct.unpack_from(form, data, at)[0], at + struct.calcsize(form)
    size, at = _size(data, marker, at)
    kind = _KINDS.get(marker & 0xF0) if marker < 0xC0 else _SIZED[marker][0]
    if kind == "text":
        return data[at : at + size].decode(), at + size
    if kind == "bytes":
        return data[at : at + size], at + size
    items = []
    for _ in range(size * (2 if kind == "map" else 1)):
        item, at = unpack(data, at)
        items.append(item)
    return (dict(zip(items[::2], items[1::2], strict=True)) if kind == "map" else items), at


def _size(data: bytes, marker: int, at: int) -> tuple[int, int]:
    if marker < 0xC0:
        return marker & 0x0F, at
    form = _SIZED[marker][1]
    return struct.unpack_from(form, data, at)[0], at + struct.calcsize(form)


_CONSTANTS: dict[int, Any] = {0xC0: None, 0xC2: False, 0xC3: True}
_NUMBERS = {0xC1: ">d", 0xC8: ">b", 0xC9: ">h", 0xCA: ">i", 0xCB: ">q"}
_KINDS = {0x80: "text", 0x90: "list", 0xA0: "map"}
_SIZED = {
    0xCC: ("bytes", ">B"),
    0xCD: ("bytes", ">H"),
    0xCE: ("bytes", ">I"),
    0xD0: ("text", ">B"),
    0xD1: ("text", ">H"),
    0xD2: ("text", ">I"),
    0xD4: ("list", ">B"),
    0xD5: ("list", ">H"),
    0xD6: ("list", ">I"),
    0xD8: ("map", ">B"),
    0xD9: ("map", ">H"),
    0xDA: ("map", ">I"),
}
