"""The format of each store: the version that this software writes, and the only one it reads.

A store carries the version under which it was written. A newer one is refused, and so is an older
one, until what `older` says was done to it.
"""

from dataclasses import dataclass


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


GRAPH = Format(store="graph", version=2)
ONLINE_STORE = Format(store="online store", version=1)
REGISTRY = Format(store="registry", version=1)
HISTORY = Format(store="history", version=1)
SNAPSHOT = Format(store="snapshot", version=1, older="delete the folder")
GENERATION = Format(store="generation", version=1, older="train a new one")
INDEX = Format(store="base index", version=1, older="activate its generation again")
POST_INPUTS = Format(
    store="post inputs", version=2, older="delete the folder, to read images again"
)
RUN = Format(store="run", version=2, older="delete the folder, and train again")
