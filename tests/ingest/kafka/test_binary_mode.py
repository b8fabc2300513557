"""Events in the binary content mode of CloudEvents, through a real broker into the graph."""

import json

from tests.ingest.conftest import Run
from tests.ingest.kafka.conftest import Stream, document, totals
from tests.ingest.made import follow_lines, line


def send(stream: Stream, text: bytes, **headers: str) -> None:
    event = json.loads(text)
    data = json.dumps(event.pop("data")).encode()
    named = {f"ce_{name}": str(value) for name, value in event.items()} | headers
    stream.producer.send(
        stream.topic(), data, headers=[(name, text.encode()) for name, text in named.items()]
    )


def test_both_modes_are_read_and_what_is_rejected_can_be_replayed(stream: Stream, run: Run) -> None:
    stream.create("users", "posts", "follows", partitions=1)
    stream.send(follow_lines(3))
    for text in follow_lines(3, first=2):  # the first one repeats an event of above
        send(stream, text, **{"content-type": "application/json"})
    send(stream, line(id="later"), ce_type="follow.unknown")
    stream.producer.flush()
    assert totals(run)["events"] == 7
    assert document(run, "status")["graph"]["follows"] == 5
    [letter] = document(run, "dead-letters", "list")
    assert json.loads(letter["text"])["type"] == "follow.unknown"
    assert json.loads(letter["text"])["data"] == json.loads(line())["data"]
