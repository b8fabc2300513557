"""Reading ahead: in order, bounded, dropped where positions or partitions change."""

import threading
import time
from collections.abc import Sequence

import pytest

from graphdb.facts import Position, PositionMove
from ingest.errors import PartitionsMoved, SourceChanged
from ingest.events.decoding import decode
from ingest.sources import read_ahead
from ingest.sources.read_ahead import EndOfSource, ReadAhead, ReadBatch
from ingest.sources.source import Extent, Records
from tests.ingest.made import line


class Counting:
    """A source of one event a read, numbered from where it was sought; it tells what it was asked.

    At each number of `faults` it raises once.
    """

    def __init__(self, end: int, faults: dict[int, Exception] | None = None) -> None:
        self.end = end
        self.faults = faults or {}
        self.offset = 0
        self.num_kept_alive = 0
        self.hints: list[int] = []
        self.threads: set[int] = set()

    def seek(self, positions: Sequence[Position]) -> None:
        self.threads.add(threading.get_ident())
        self.offset = positions[0].offset if positions else 0

    def read(self, max_events: int) -> list[Records] | None:
        self.threads.add(threading.get_ident())
        if self.offset in self.faults:
            raise self.faults.pop(self.offset)
        if self.offset == self.end:
            return None
        self.offset += 1
        at = Position(source="s", partition=0, offset=self.offset)
        move = PositionMove(expected=self.offset - 1, next=at)
        return [Records(lines=[line()], offsets=[self.offset - 1], move=move)]

    def keep_alive(self) -> None:
        self.threads.add(threading.get_ident())
        self.num_kept_alive += 1

    def committed(self, positions: Sequence[Position]) -> None:
        self.hints += [each.offset for each in positions]

    def earliest(self) -> list[Position]:
        return []

    def at_time(self, time: int) -> list[Position]:
        return []

    def extent(self) -> Extent:
        return Extent(done=self.offset, total=self.end)

    def warnings(self) -> list[str]:
        return []

    def close(self) -> None: ...


def at(offset: int) -> list[Position]:
    return [Position(source="s", partition=0, offset=offset)]


def taken(ahead: ReadAhead) -> list[int]:
    """Offsets up to the end of the source."""
    found: list[int] = []
    while isinstance(batch := ahead.take(), ReadBatch):
        found.append(batch.runs[0].offsets[0])
    return found


def until(condition: object) -> None:
    assert callable(condition)
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_batches_come_in_order_from_one_thread_that_is_not_ours() -> None:
    source = Counting(5)
    ahead = ReadAhead(source, decode, 10)
    ahead.seek(at(1))
    assert taken(ahead) == [1, 2, 3, 4]
    source.end = 6
    assert taken(ahead) == [5]
    ahead.close()
    assert len(source.threads) == 1
    assert threading.get_ident() not in source.threads


def test_it_reads_two_batches_ahead_and_then_only_keeps_the_source_alive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(read_ahead, "KEEP_ALIVE_SECONDS", 0.01)
    source = Counting(100)
    ahead = ReadAhead(source, decode, 10)
    ahead.seek([])
    until(lambda: source.num_kept_alive > 3)
    assert source.offset == 2
    ahead.take()
    until(lambda: source.offset == 3)
    ahead.committed(at(1))
    ahead.committed(at(2))
    until(lambda: source.hints == [1, 2])
    ahead.close()


def test_a_seek_drops_what_was_read_ahead() -> None:
    source = Counting(10)
    ahead = ReadAhead(source, decode, 10)
    ahead.seek([])
    assert isinstance(ahead.take(), ReadBatch)
    until(lambda: source.offset == 3)
    ahead.seek(at(8))
    assert taken(ahead) == [8, 9]
    ahead.close()


def test_partitions_that_move_are_heard_before_what_was_read_of_the_former_ones() -> None:
    source = Counting(10, {1: PartitionsMoved("moved")})
    ahead = ReadAhead(source, decode, 10)
    ahead.seek([])
    until(lambda: not source.faults)
    until(lambda: any(isinstance(each, PartitionsMoved) for each in ahead._ready))
    with pytest.raises(PartitionsMoved):
        ahead.take()
    ahead.seek(at(7))
    assert taken(ahead) == [7, 8, 9]
    ahead.close()


def test_an_error_is_raised_where_batches_are_taken_after_those_before_it() -> None:
    source = Counting(10, {1: SourceChanged("lost")})
    ahead = ReadAhead(source, decode, 10)
    ahead.seek([])
    assert isinstance(ahead.take(), ReadBatch)
    with pytest.raises(SourceChanged):
        ahead.take()
    ahead.close()


def test_the_end_tells_how_far_reading_has_come() -> None:
    ahead = ReadAhead(Counting(0), decode, 10)
    ahead.seek([])
    found = ahead.take()
    assert isinstance(found, EndOfSource)
    assert found.extent == Extent(done=0, total=0)
    ahead.close()


def test_waiting_for_a_batch_ends_when_the_check_says_so():
    class Told(Exception):
        pass

    def check():
        raise Told

    class Silent(Counting):
        def read(self, max_events):
            time.sleep(0.01)
            return []

    ahead = ReadAhead(Silent(1), decode, 10)
    ahead.seek([])
    with pytest.raises(Told):
        ahead.take(check)
    ahead.close()
