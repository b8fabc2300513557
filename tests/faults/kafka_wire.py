"""Kafka's protocol, as far as a proxy must read it: which request is sent and which is answered.

Requests and answers have a 32-bit length before them; an answer repeats its request's number.
"""

import struct
from dataclasses import dataclass

from tests.faults.tcp_proxy import Message

PRODUCE = 0


@dataclass(slots=True, kw_only=True)
class KafkaMessage(Message):
    """A request, or the answer to one, of the kind that `api` numbers."""

    api: int

    @property
    def sends_letters(self) -> bool:
        """Whether it asks to keep dead letters."""
        return self.to_server and self.api == PRODUCE and b".dlq" in self.content

    @property
    def confirms_produce(self) -> bool:
        """Whether it says that messages were kept."""
        return not self.to_server and self.api == PRODUCE


class KafkaWire:
    """See Wire; one connection."""

    def __init__(self) -> None:
        self._from_client = b""
        self._from_server = b""
        self._apis: dict[int, int] = {}

    def client_sent(self, data: bytes) -> list[KafkaMessage]:
        """See Wire."""
        whole, self._from_client = _divide(self._from_client + data)
        return [self._request(content) for content in whole]

    def server_sent(self, data: bytes) -> list[KafkaMessage]:
        """See Wire."""
        whole, self._from_server = _divide(self._from_server + data)
        return [self._answer(content) for content in whole]

    def _request(self, content: bytes) -> KafkaMessage:
        api, _, number = struct.unpack_from(">hhi", content, 4)
        self._apis[number] = api
        return KafkaMessage(to_server=True, content=content, api=api)

    def _answer(self, content: bytes) -> KafkaMessage:
        [number] = struct.unpack_from(">i", content, 4)
        return KafkaMessage(to_server=False, content=content, api=self._apis.pop(number))


def _divide(data: bytes) -> tuple[list[bytes], bytes]:
    """Whole messages with their lengths, and the rest."""
    whole: list[bytes] = []
    at = 0
    while len(data) >= at + 4:
        [size] = struct.unpack_from(">i", data, at)
        if len(data) < at + 4 + size:
            break
        whole.append(data[at : at + 4 + size])
        at += 4 + size
    return whole, data[at:]
