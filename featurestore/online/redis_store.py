"""The online store on a Redis server, with Feast's own byte layout, without importing Feast.

A user is one hash, at Feast's entity key followed by the project; `redis_rows` describes its
fields. Feast stores the time of a row in full, so that time alone orders rows, also those that
stock Feast wrote. The project's own records have keys that no entity key begins with:
`mmga:PROJECT:format`, `:pointer`, `:watermarks`, `:views`, and for each feature view `:view:VIEW`,
which maps all features that it ever had to their hash fields, for deletion. There is no index of
users: SCAN finds them, those of stock Feast included.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import groupby, islice, repeat
from typing import Self

import numpy as np

from featurestore.definitions import checked
from featurestore.errors import FormatRefused, StoreUnavailable
from featurestore.online.entity_key import entity_keys, split_key
from featurestore.online.pointer import Pointer, PointerChange, from_text, to_text
from featurestore.online.redis_rows import cells_of, commit_times, field, parts, stamp, time_field
from featurestore.online.redis_scan import NUM_KEYS_SCANNED, user_keys
from featurestore.online.redis_scripts import DELETE, ERASE, SET_POINTER, WRITE
from featurestore.online.redis_server import Call, Client, RedisServer, Script, Word, packed
from featurestore.online.rows import EncodedRow, check_columns
from featurestore.online.store import OnlineRows
from featurestore.online.stored_column import StoredColumn, as_messages, decoded, joined
from featurestore.online.values import Column, encode
from featurestore.settings import FeatureStoreSettings
from foundation.format_version import ONLINE_STORE
from foundation.watermark import Watermark

NUM_USERS_ENCODED = 1_000
MAX_SCRIPT_BYTES = 256 * 1024
MAX_SCRIPT_USERS = 250
SCRIPTS_SENT_AT_ONCE = 4
NUM_USERS_READ = 1_000
PAGE_USERS = 10_000
FOR_EVER = 2**62


class RedisStore:
    """An `OnlineStore` on a Redis server."""

    def __init__(self, server: RedisServer, project: str, *, read_only: bool) -> None:
        self.server = server
        self.project = project
        self.read_only = read_only
        self._suffix = project.encode()
        self._prefix = f"mmga:{project}"

    @classmethod
    def open(cls, settings: FeatureStoreSettings, *, read_only: bool = False) -> Self:
        """Connect to the server that the settings name.

        Raises SettingInvalid, StoreUnavailable, FormatRefused.
        """
        return cls.at(settings.online_store_url, settings.project, read_only=read_only)

    @classmethod
    def at(cls, url: str, project: str, *, read_only: bool = False) -> Self:
        """Connect to a server; unless read-only, check that it does not evict data.

        A server without data is an empty store. Raises SettingInvalid, StoreUnavailable,
        FormatRefused.
        """
        store = cls(RedisServer(url), project, read_only=read_only)
        try:
            store.check_format()
            if not read_only:
                store.check_eviction()
        except BaseException:
            store.close()
            raise
        return store

    def check_format(self) -> None:
        """Raises FormatRefused when another version of this software wrote the project's data."""
        version = self.server.run(lambda client: client.get(self._name("format")))
        place = f"of project {self.project} at {self.server.name}"
        if version is not None and (refusal := ONLINE_STORE.refusal(place, int(version))):
            raise FormatRefused(refusal)

    def check_eviction(self) -> None:
        """Raises StoreUnavailable when the server may evict rows."""
        memory = self.server.run(lambda client: client.info("memory"))
        policy = str(memory.get("maxmemory_policy", ""))
        if policy.startswith("allkeys") and memory.get("maxmemory"):
            raise StoreUnavailable(
                f"{self.server.name} may evict features (maxmemory-policy {policy}): "
                "set its maxmemory-policy to noeviction"
            )

    def close(self) -> None:
        """Close the connections."""
        self.server.close()

    def write(
        self,
        view: str,
        user_ids: Sequence[str],
        features: Mapping[str, Column],
        *,
        commit_time: int,
    ) -> int:
        """Write columns of users: the newest commit time wins, each row is written atomically."""
        check_columns(user_ids, features)
        names = sorted(features)
        columns = [np.asarray(features[name]) for name in names]
        num_written = 0
        for start in range(0, len(user_ids), NUM_USERS_ENCODED):
            chunk = slice(start, start + NUM_USERS_ENCODED)
            pairs = zip(names, columns, strict=True)
            values = [encode(name, column[chunk]).values for name, column in pairs]
            cells = zip(repeat(stamp(commit_time)), *values, strict=False)
            rows = zip(self._keys(user_ids[chunk]), cells, strict=False)  # times never end
            num_written += self._write(view, names, rows)
        return num_written

    def write_rows(self, view: str, rows: Sequence[EncodedRow]) -> int:
        """Write the rows that are not older than the stored ones; return how many."""
        return sum(
            self._write(view, names, ((row.key + self._suffix, cells_of(row)) for row in alike))
            for names, alike in groupby(rows, key=lambda row: [cell[0] for cell in row.cells])
        )

    def delete(self, view: str, user_ids: Sequence[str], *, before: int) -> int:
        """Delete rows of users whose commit time is at most `before`; return how many."""
        keys = self._keys(dict.fromkeys(user_ids))
        return self._delete(view, keys, before)

    def erase(self, user_ids: Sequence[str], *, before: int) -> int:
        """Delete rows of users from every view of the project, those of stock Feast too."""
        self._check_writable()
        arguments: list[Word] = [self._name("view", ""), *parts(before)]
        keys = self._keys(dict.fromkeys(user_ids))
        calls = (
            Call(keys=keys[start : start + MAX_SCRIPT_USERS], arguments=arguments)
            for start in range(0, len(keys), MAX_SCRIPT_USERS)
        )
        return self._evaluate(ERASE, calls)

    def drop_view(self, view: str) -> None:
        """Delete a view's rows, which SCAN finds, then the record of the view."""
        self._check_writable()
        for keys in user_keys(self.server, self._suffix):
            self._delete(view, keys, FOR_EVER)
        self._transact(
            ("SREM", self._name("views"), checked(view)), ("DEL", self._name("view", view))
        )

    def register_view(self, view: str, features: Sequence[str]) -> None:
        """Record a view and its features, so that rows of stock Feast can be deleted."""
        self._check_writable()
        self._transact(
            ("SETNX", self._name("format"), ONLINE_STORE.version),
            ("SADD", self._name("views"), checked(view)),
            *(("HSET", self._name("view", view), name, field(view, name)) for name in features),
        )

    def set_watermark(self, stage: str, watermark: Watermark) -> None:
        """Record how far a stage has come."""
        self._transact(("HSET", self._name("watermarks"), stage, json.dumps(asdict(watermark))))

    def drop_watermark(self, stage: str) -> None:
        """Forget how far a stage has come."""
        self._transact(("HDEL", self._name("watermarks"), stage))

    def change_pointer(self, change: PointerChange) -> Pointer:
        """Replace the pointer record by `change` of it: compare and set, until none was first."""
        self._check_writable()
        keys = [self._name("format"), self._name("pointer")]
        while True:
            found = self._pointer_text()
            pointer = change(from_text(found))
            arguments: list[Word] = [ONLINE_STORE.version, found or b"", to_text(pointer)]
            if self.server.evaluate(SET_POINTER, [Call(keys=keys, arguments=arguments)])[0]:
                return pointer

    def read(self, view: str, user_ids: Sequence[str], features: Sequence[str]) -> OnlineRows:
        """Read features of users in the order asked, repeated users included.

        Each row is read atomically; two rows may be read at different moments.
        """
        keys = self._keys(user_ids)
        index = {key: row for row, key in enumerate(dict.fromkeys(keys))}
        names = list(dict.fromkeys(features))
        fields = [time_field(view), *(field(view, name) for name in names)]
        times, *messages = self._found(list(index), fields)
        stamps = times if isinstance(times, list) else as_messages(times)
        present = [each is not None for each in stamps]
        columns = {
            name: decoded(name, column, present)
            for name, column in zip(names, messages, strict=True)
        }
        rows = OnlineRows(
            features={name: column.values for name, column in columns.items()},
            known={name: column.known for name, column in columns.items()},
            present=np.array(present, np.bool_),
            commit_times=commit_times(stamps),
        )
        return rows if len(index) == len(keys) else repeated(rows, [index[key] for key in keys])

    def user_ids(self, view: str) -> Iterator[list[str]]:
        """All users of a view in pages of up to 10,000, each once, those of stock Feast included.

        It scans all keys of the database and keeps the users already returned in memory.
        """
        page: list[str] = []
        given: set[str] = set()
        for keys in user_keys(self.server, self._suffix):
            has_row = self.server.gather(packed(b"HEXISTS", keys, [time_field(view)]))
            users = (split_key(key)[0] for key, has in zip(keys, has_row, strict=True) if has)
            new = [user for user in dict.fromkeys(users) if user not in given]
            given.update(new)
            page += new
            if len(page) + NUM_KEYS_SCANNED > PAGE_USERS:
                yield page
                page = []
        if page:
            yield page

    def views(self) -> list[str]:
        """Views of the project that were written or applied here."""
        members = self.server.run(lambda client: client.smembers(self._name("views")))
        return sorted(member.decode() for member in members)

    def watermark(self, stage: str) -> Watermark | None:
        """How far a stage has come, if it ever ran."""
        text = self.server.run(lambda client: client.hget(self._name("watermarks"), stage))
        return None if text is None else Watermark(**json.loads(text))

    def pointer(self) -> Pointer:
        """The pointer record."""
        return from_text(self._pointer_text())

    def _pointer_text(self) -> bytes | None:
        text: bytes | None = self.server.run(lambda client: client.get(self._name("pointer")))
        return text

    def _write(
        self, view: str, names: Sequence[str], rows: Iterable[tuple[bytes, Sequence[bytes]]]
    ) -> int:
        """Compare and set rows (key, (time, values of `names`)) by short scripts."""
        self._check_writable()
        keys = [self._name("format"), self._name("views"), self._name("view", checked(view))]
        head: list[Word] = [ONLINE_STORE.version, view, len(names)]
        for name in names:
            head += (name, field(view, name))
        calls = (
            Call(keys=[*keys, *users], arguments=[*head, *cells])
            for users, cells in short_scripts(rows)
        )
        return self._evaluate(WRITE, calls)

    def _delete(self, view: str, keys: Sequence[bytes], before: int) -> int:
        self._check_writable()
        fields = self._name("view", view)
        arguments: list[Word] = [view, *parts(before)]
        calls = (
            Call(keys=[fields, *keys[start : start + MAX_SCRIPT_USERS]], arguments=arguments)
            for start in range(0, len(keys), MAX_SCRIPT_USERS)
        )
        return self._evaluate(DELETE, calls)

    def _evaluate(self, script: Script, calls: Iterator[Call]) -> int:
        """The sum of the results of a script's runs, a few of which are sent at once."""
        total = 0
        while some := list(islice(calls, SCRIPTS_SENT_AT_ONCE)):
            total += sum(self.server.evaluate(script, some))
        return total

    def _found(self, keys: Sequence[bytes], fields: Sequence[bytes]) -> list[StoredColumn]:
        """A column of values for each field, None where a user lacks it."""
        pieces = [
            self.server.gather_columns(
                packed(b"HMGET", keys[start : start + NUM_USERS_READ], fields), len(fields)
            )
            for start in range(0, max(1, len(keys)), NUM_USERS_READ)
        ]
        return [joined(column) for column in zip(*pieces, strict=True)]

    def _transact(self, *commands: Sequence[Word]) -> None:
        """Run commands in one transaction."""
        self._check_writable()

        def transact(client: Client) -> None:
            with client.pipeline() as pipeline:
                for command in commands:
                    pipeline.execute_command(*command)
                pipeline.execute()

        self.server.run(transact)

    def _check_writable(self) -> None:
        if self.read_only:
            raise StoreUnavailable(
                f"{self.server.name} is open for reading only: open it for writing"
            )

    def _keys(self, user_ids: Iterable[str]) -> list[bytes]:
        return [key + self._suffix for key in entity_keys(user_ids)]

    def _name(self, *words: str) -> str:
        """The key of one of the project's own records."""
        return ":".join((self._prefix, *words))


def short_scripts(
    rows: Iterable[tuple[bytes, Sequence[bytes]]],
) -> Iterator[tuple[list[bytes], list[bytes]]]:
    """Keys and cells of as many rows as a script writes in about a millisecond."""
    keys: list[bytes] = []
    cells: list[bytes] = []
    size = 0
    for key, row in rows:
        keys.append(key)
        cells += row
        size += sum(map(len, row))
        if size >= MAX_SCRIPT_BYTES or len(keys) >= MAX_SCRIPT_USERS:
            yield keys, cells
            keys, cells, size = [], [], 0
    if keys:
        yield keys, cells


def repeated(rows: OnlineRows, order: Sequence[int]) -> OnlineRows:
    """Rows by position, repeated where a position is."""
    index = np.array(order, np.int64)
    return OnlineRows(
        features={name: column[index] for name, column in rows.features.items()},
        known={name: column[index] for name, column in rows.known.items()},
        present=rows.present[index],
        commit_times=rows.commit_times[index],
    )
