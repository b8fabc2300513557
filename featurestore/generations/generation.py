"""Generations: one immutable folder for each training run that was published.

A folder is staged, sealed with the checksum of each file in `manifest.json`, and renamed, so that
it is never incomplete. The online store holds the pointer to the active generation, beside the
vectors.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from secrets import token_hex
from typing import Any

from featurestore.definitions import MODALITIES, NAME, checked
from featurestore.errors import (
    ArtifactCorrupt,
    FeatureInvalid,
    FormatRefused,
    GenerationExists,
    GenerationMissing,
)
from featurestore.generations.verdicts import VerdictLog
from featurestore.online.open import open_online_store
from featurestore.online.pointer import Pointer
from featurestore.settings import FeatureStoreSettings, sqlite_path
from foundation.durable_files import put_folder, sync
from foundation.format_version import GENERATION

MANIFEST = "manifest.json"
STAGING = ".staging-"
DROPPED = ".dropped-"
REQUIRED = (
    "created_at",
    "graph_id",
    "graph_version",
    "commit_time",
    "dims",
    "scales",
    "num_users",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """A sealed generation: its folder and what its manifest says."""

    id: str
    path: Path
    manifest: Mapping[str, Any]

    @property
    def dims(self) -> dict[str, int]:
        """Width of each modality's vectors."""
        return {name: int(self.manifest["dims"][name]) for name in MODALITIES}

    @property
    def scales(self) -> dict[str, float]:
        """Scale of each modality's part in R, fixed at publishing."""
        return {name: float(self.manifest["scales"][name]) for name in MODALITIES}

    def verify(self) -> None:
        """Read every file and compare it with its checksum. Raises ArtifactCorrupt."""
        for name, checksum in self.manifest["checksums"].items():
            path = self.path / name
            if not path.is_file() or sha256(path) != checksum:
                raise ArtifactCorrupt(
                    f"{path} is missing or not what was sealed: restore it, or publish again"
                )


class Generations:
    """The sealed generations of a home, and the active one."""

    def __init__(self, settings: FeatureStoreSettings) -> None:
        self.settings = settings
        self.root = settings.generations_root

    def begin(self, generation_id: str) -> Path:
        """An empty staging folder; one that a crash left is deleted.

        Raises GenerationExists, FeatureInvalid for an id that cannot name a view.
        """
        if (self.root / checked(generation_id)).exists():
            raise GenerationExists(f"generation {generation_id} is sealed: use another id")
        staging = self.root / f"{STAGING}{generation_id}"
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True)
        return staging

    def seal(self, generation_id: str, manifest: Mapping[str, Any]) -> Generation:
        """Make the staged folder a generation: one rename, after which it is immutable.

        Raises GenerationExists, GenerationMissing when nothing is staged, FeatureInvalid when the
        manifest lacks a key.
        """
        staging = self.root / f"{STAGING}{generation_id}"
        if not staging.is_dir():
            raise GenerationMissing(f"generation {generation_id} was not begun: call begin first")
        if missing := [key for key in REQUIRED if key not in manifest]:
            raise FeatureInvalid(f"the manifest of {generation_id} lacks {', '.join(missing)}")
        target = self.root / generation_id
        if target.exists():
            raise GenerationExists(f"generation {generation_id} is sealed: use another id")
        files = sorted(path for path in staging.rglob("*") if path.is_file())
        own = {"id": generation_id, "format_version": GENERATION.version}
        checksums = {str(path.relative_to(staging)): sha256(path) for path in files}
        text = json.dumps({**manifest, **own, "checksums": checksums}, indent=2, sort_keys=True)
        (staging / MANIFEST).write_text(text + "\n", encoding="utf-8")
        put_folder(staging, target)
        return self.get(generation_id)

    def list(self) -> list[Generation]:
        """All sealed generations, oldest first."""
        paths = self.root.glob(f"*/{MANIFEST}")
        ids = [path.parent.name for path in paths if not path.parent.name.startswith(".")]
        found = []
        for generation_id in ids:
            with suppress(GenerationMissing):  # it was dropped meanwhile
                found.append(self.get(generation_id))
        return sorted(found, key=lambda each: (str(each.manifest["created_at"]), each.id))

    def get(self, generation_id: str) -> Generation:
        """One sealed generation. Raises GenerationMissing, ArtifactCorrupt, FormatRefused."""
        if not NAME.fullmatch(generation_id):
            raise GenerationMissing(
                f"{generation_id[:64]!r} names no generation: see `mmga generations list`"
            )
        path = self.root / generation_id / MANIFEST
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise GenerationMissing(
                f"there is no generation {generation_id}: see `mmga generations list`"
            ) from error
        except (OSError, ValueError) as error:
            raise ArtifactCorrupt(f"{path} cannot be read ({error}): restore it") from error
        if refusal := GENERATION.refusal(path.parent, manifest["format_version"]):
            raise FormatRefused(refusal)
        return Generation(id=generation_id, path=path.parent, manifest=manifest)

    def active(self) -> Generation | None:
        """The generation that is served. Raises GenerationMissing when its folder is not here."""
        active = self.pointer().active
        return None if active is None else self.get(active)

    def pointer(self) -> Pointer:
        """The pointer record; one without a generation where there is no online store yet."""
        url = self.settings.online_store_url
        if url.startswith("sqlite:") and not sqlite_path(url).exists():
            return Pointer()
        with closing(open_online_store(self.settings, read_only=True)) as store:
            return store.pointer()

    def verdicts(self, generation_id: str) -> VerdictLog:
        """The verdicts on a generation."""
        return VerdictLog(self.root, generation_id)

    def begin_drop(self, generation_id: str) -> None:
        """Rename a generation's folder: from then on it is gone, for `end_drop` to delete.

        Raises GenerationMissing.
        """
        path = self.get(generation_id).path
        path.rename(self.root / f"{DROPPED}{generation_id}")
        sync(self.root)

    def dropped(self) -> tuple[str, ...]:
        """Generations that are renamed and not deleted yet."""
        paths = sorted(self.root.glob(f"{DROPPED}*"))
        return tuple(path.name.removeprefix(DROPPED) for path in paths)

    def end_drop(self, generation_id: str) -> None:
        """Delete the log of verdicts and the renamed folder."""
        self.verdicts(generation_id).drop()
        shutil.rmtree(self.root / f"{DROPPED}{generation_id}")

    def drop_staged(self) -> None:
        """Delete staged folders that were never sealed; no process may be sealing."""
        for path in self.root.glob(f"{STAGING}*"):
            shutil.rmtree(path)


def new_generation_id(now: datetime) -> str:
    """`g`, the time in UTC, and something random: sortable, and valid in names of views."""
    return f"g{now:%Y%m%d%H%M%S}_{token_hex(3)}"


def sha256(path: Path) -> str:
    """Checksum of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
