"""The base indexes of generations: projections, written whole and replaced whole.

    INDEXES/GENERATION/NUMBER/    an index and its watermark; the greatest number is the newest

An index is never changed: the next one gets the next number, and the ones before it are dropped.
A reader who has mapped a dropped one keeps it until it closes it.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from featurestore.definitions import checked
from featurestore.errors import ArtifactCorrupt, FormatRefused, GenerationMissing
from featurestore.generations.base_index import BaseIndex
from featurestore.settings import FeatureStoreSettings
from foundation.durable_files import PARTIAL, whole_folder
from foundation.format_version import INDEX
from foundation.watermark import Watermark

ABOUT_FILE = "index.json"
"""Format and watermark of an index."""


class BaseIndexes:
    """The base indexes of all generations of a home."""

    def __init__(self, settings: FeatureStoreSettings) -> None:
        self.root = settings.indexes_root

    def put(self, generation_id: str, save: Callable[[Path], object], watermark: Watermark) -> None:
        """Replace the index of a generation by what `save` writes into a folder.

        The caller holds the lock of publishing.
        """
        folder = self.root / checked(generation_id)
        old = list(self._numbers(generation_id))
        with whole_folder(folder / str(max(old, default=0) + 1)) as partial:
            save(partial)
            text = json.dumps({"format_version": INDEX.version, **asdict(watermark)})
            (partial / ABOUT_FILE).write_text(text, encoding="utf-8")
        for number in old:
            _drop_folder(folder / str(number))

    def newest(self, generation_id: str) -> Path | None:
        """Folder of the newest index of a generation; None where there is none."""
        number = max(self._numbers(generation_id), default=None)
        return None if number is None else self.root / generation_id / str(number)

    def load(self, generation_id: str) -> tuple[Path, BaseIndex]:
        """Map the newest index of a generation.

        Raises GenerationMissing, ArtifactCorrupt, FormatRefused.
        """
        while (folder := self.newest(generation_id)) is not None:
            try:
                read_watermark(folder)
                return folder, BaseIndex.load(folder)
            except ArtifactCorrupt:
                if folder.exists():
                    raise  # else a newer one has replaced it
        raise GenerationMissing(
            f"generation {generation_id} has no base index in {self.root}: run "
            f"`mmga generations activate {generation_id}`"
        )

    def watermark(self, generation_id: str) -> Watermark | None:
        """The graph version of the newest index of a generation; None where none can be read."""
        while (folder := self.newest(generation_id)) is not None:
            try:
                return read_watermark(folder)
            except ArtifactCorrupt:
                if folder.exists():
                    return None
        return None

    def drop(self, generation_id: str) -> None:
        """Delete all indexes of a generation."""
        _drop_folder(self.root / checked(generation_id))

    def _numbers(self, generation_id: str) -> Iterator[int]:
        folder = self.root / checked(generation_id)
        with suppress(FileNotFoundError):  # there is none, or it is being dropped
            yield from (int(each.name) for each in folder.iterdir() if each.name.isdecimal())


def read_watermark(folder: Path) -> Watermark:
    """The graph version of an index. Raises ArtifactCorrupt, FormatRefused."""
    path = folder / ABOUT_FILE
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        refusal = INDEX.refusal(folder, values.pop("format_version"))
        if refusal is None:
            return Watermark(**values)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ArtifactCorrupt(
            f"{path} cannot be read ({error}): activate its generation again"
        ) from error
    raise FormatRefused(refusal)


def _drop_folder(folder: Path) -> None:
    """Rename a folder, so that no reader finds half of it, and delete it."""
    grave = folder.with_name(f".{folder.name}{PARTIAL}")
    shutil.rmtree(grave, ignore_errors=True)
    if folder.exists():
        folder.rename(grave)
        shutil.rmtree(grave)
