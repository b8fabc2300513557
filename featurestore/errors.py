"""Errors of the feature store.

    FeatureStoreError
    ├── StoreUnavailable     the online store cannot be opened, read or written
    │   └── StoreUnreachable   its server does not answer: an outage, which passes
    ├── StoreBusy            another process holds a lock that this one needs
    ├── FormatRefused        the store was written by another version of this software
    ├── FeatureInvalid       values do not fit the feature: shape, type or name
    ├── RegistryUnavailable  Feast's registry cannot be opened, read or written
    │   └── RegistryUnreachable  its server does not answer: an outage, which passes
    ├── HistoryMissing       a view has no history yet
    ├── HistoryUnwritable    rows of a history cannot be kept (disk, permission)
    ├── GenerationMissing    no generation of that id
    ├── GenerationExists     a generation of that id is sealed already, and immutable
    ├── GenerationInUse      a live generation or the previous one cannot be dropped
    ├── GenerationForeign    a generation was trained on another graph
    ├── GenerationRefused    a generation did not pass its verdict
    └── ArtifactCorrupt      a file of a generation is incomplete or not what was sealed

Every message names the thing, the value and the remedy.
"""


class FeatureStoreError(Exception):
    """Root of the errors that `featurestore` raises."""


class StoreUnavailable(FeatureStoreError):
    """The online store cannot be opened, read or written."""


class StoreUnreachable(StoreUnavailable):
    """The server of the online store does not answer, or not yet: try again later."""


class StoreBusy(FeatureStoreError):
    """Another process holds a lock that this one needs."""


class FormatRefused(FeatureStoreError):
    """The store was written by another version of this software."""


class FeatureInvalid(FeatureStoreError):
    """Values do not fit the feature: shape, type or name."""


class RegistryUnavailable(FeatureStoreError):
    """Feast's registry cannot be opened, read or written."""


class RegistryUnreachable(RegistryUnavailable):
    """The server of Feast's registry does not answer, or not yet: try again later."""


class HistoryMissing(FeatureStoreError):
    """A view has no history yet."""


class HistoryUnwritable(FeatureStoreError):
    """Rows of a history cannot be kept, so they may not be served either."""


class GenerationMissing(FeatureStoreError):
    """There is no generation of that id."""


class GenerationExists(FeatureStoreError):
    """A generation of that id is sealed already, and immutable."""


class GenerationInUse(FeatureStoreError):
    """A live generation, or the previous one, cannot be dropped."""


class GenerationForeign(FeatureStoreError):
    """A generation was trained on another graph."""


class GenerationRefused(FeatureStoreError):
    """A generation did not pass its verdict."""


class ArtifactCorrupt(FeatureStoreError):
    """A file of a generation is incomplete or not what was sealed."""
