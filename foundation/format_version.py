"""The format of each store: the version that this software writes, and the only one it reads.

A store carries the version under which it was written. A newer one is refused, and so is an older
one, until what `older` says was done to it.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from foundation.durable_files import write_text

FORMAT_FILE = "format.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """The current format of a kind of store, and what to do with a store of an older one."""

    store: str
    version: int
    older: str = "run `mmga upgrade`"

    def refusal(self, place: object, found: int) -> str | None:
        """Why a store at `place` of the version `found` cannot be used; None where it can."""
        if found == self.version:
            return None
        remedy = "install the newer version that wrote it" if found > self.version else self.older
        return (
            f"{self.store} {place} has format {found}, this software reads {self.version}: {remedy}"
        )

    def folder_refusal(self, folder: Path) -> str | None:
        """Why a store that is a folder cannot be used; None where it can, or is not marked."""
        path = folder / FORMAT_FILE
        if not path.exists():
            return None
        return self.refusal(folder, json.loads(path.read_text(encoding="utf-8"))["format_version"])

    def mark_folder(self, folder: Path) -> None:
        """Mark a store that is a folder with the current version."""
        write_text(folder / FORMAT_FILE, json.dumps({"format_version": self.version}) + "\n")


GRAPH = Format(store="graph", version=2)
ONLINE_STORE = Format(
    store="online store",
    version=2,
    older="delete its data; `mmga statistics` and `mmga train` write them again",
)
REGISTRY = Format(store="registry", version=1)
HISTORY = Format(store="history", version=1)
SNAPSHOT = Format(store="snapshot", version=1, older="delete the folder")
GENERATION = Format(store="generation", version=1, older="train a new one")
INDEX = Format(store="base index", version=1, older="activate its generation again")
POST_INPUTS = Format(
    store="post inputs", version=2, older="delete the folder, to read images again"
)
RUN = Format(store="run", version=2, older="delete the folder, and train again")
