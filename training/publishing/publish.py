"""Publishes a trained network as a generation: seals it, writes it online, activates it.

Each step may be repeated, and only the last but one is seen by readers:

1. seal model, heads, base index and lineage as an immutable generation, whole or not at all;
2. stop if its vectors are not sound: the generation is kept and reported, but not served;
3. define its view in the registry;
4. append its vectors to the history; existing slices are not rewritten;
5. write its vectors online under the snapshot's commit time;
6. delete the vectors of users who left since the snapshot; move the watermark;
7. activate: flip the pointer beside the vectors;
8. point the feature service `user_representation` to it, for clients of plain Feast.

After a kill the old or the new generation is served, and the same call completes publishing.

Shapes: N users, D_g, D_i, D_t widths, D their sum.
"""

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featurestore.definitions import (
    COMPUTED_AT,
    GRAPH_VERSION,
    MODALITIES,
    PROVISIONAL,
    representation_name,
)
from featurestore.errors import GenerationMissing
from featurestore.feast_adapter.registry import FeatureRegistry
from featurestore.generations.base_index import BaseIndex
from featurestore.generations.generation import Generation, Generations
from featurestore.generations.soundness import Soundness, sound
from featurestore.heads import save_head
from featurestore.history import History
from featurestore.history_rows import Slice
from featurestore.online.open import open_online_store
from featurestore.online.store import OnlineStore
from featurestore.representation import representation
from featurestore.settings import FeatureStoreSettings
from foundation.watermark import Watermark
from graphdb.snapshot.snapshot import Snapshot
from graphdb.store import GraphStore
from training.encoding.all_users import UserVectors
from training.evaluation.evaluator import NamedHead

PAGE_USERS = 5_000

Progress = Callable[[str, int, int], None]
"""Called with (step, done, total)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """The content of a generation.

    `generation_id` is fixed before the first attempt, so that a repeated one completes it.
    `vectors` are of all users of the snapshot, over all its follows. `scales` are those under
    which R was evaluated and `heads` were trained. `files` are copied (paths) or written (texts)
    into the generation. `lineage` goes into the manifest: recipe, seed, code version, counts,
    losses, environment.
    """

    generation_id: str
    snapshot: Snapshot
    vectors: UserVectors
    scales: Mapping[str, float]
    heads: Mapping[str, NamedHead]
    files: Mapping[str, Path | str]
    evaluation: Mapping[str, Any]
    lineage: Mapping[str, Any] = field(default_factory=dict)

    @property
    def matrices(self) -> dict[str, NDArray[np.float32]]:
        """The vectors by modality."""
        return {name: getattr(self.vectors, name) for name in MODALITIES}


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """The result of a publication; `reasons` say why it is not active."""

    generation_id: str
    is_active: bool
    reasons: tuple[str, ...]
    num_users: int
    num_left: int
    path: Path


def publish(
    publication: Publication,
    store: GraphStore,
    settings: FeatureStoreSettings,
    *,
    progress: Progress | None = None,
) -> Published:
    """Do the steps of the module's docstring; steps already done are skipped.

    Raises errors of the feature store and of the graph; then the old generation is still served.
    """
    generation = sealed(publication, settings)
    soundness = generation.manifest["sound"]
    num_left = 0
    if soundness["ok"]:
        num_left = project(publication, generation, store, settings, progress)
    return Published(
        generation_id=generation.id,
        is_active=soundness["ok"],
        reasons=tuple(soundness["reasons"]),
        num_users=publication.snapshot.num_users,
        num_left=num_left,
        path=generation.path,
    )


def sealed(publication: Publication, settings: FeatureStoreSettings) -> Generation:
    """The generation of this publication, sealed now or by an earlier attempt."""
    generations = Generations(settings)
    try:
        return generations.get(publication.generation_id)
    except GenerationMissing:
        folder = generations.begin(publication.generation_id)
    write_artifacts(publication, folder)
    return generations.seal(publication.generation_id, manifest(publication))


def write_artifacts(publication: Publication, folder: Path) -> None:
    """Fill the staging folder: files, heads, evaluation, and the base index of R (N, D)."""
    for name, content in publication.files.items():
        if isinstance(content, Path):
            shutil.copyfile(content, folder / name)
        else:
            (folder / name).write_text(content, encoding="utf-8")
    write_heads(publication.heads, folder / "heads")
    evaluation = json.dumps(publication.evaluation, indent=1, sort_keys=True)
    (folder / "evaluation.json").write_text(evaluation, encoding="utf-8")
    R_ND = representation(**publication.matrices, scales=publication.scales)
    if len(R_ND) == publication.snapshot.num_users:  # else `soundness_of` reports it
        BaseIndex.of(list(publication.snapshot.user_ids), R_ND).save(folder)


def write_heads(heads: Mapping[str, NamedHead], folder: Path) -> None:
    """Write heads to numbered files, and `heads.json` with name, input and logits of each."""
    folder.mkdir()
    index = {}
    for number, (name, each) in enumerate(heads.items()):
        file = f"{number}.safetensors"
        save_head(each.head, folder / file)
        index[name] = {"file": file, "input": each.input, "classes": list(each.classes)}
    text = json.dumps(index, indent=1, ensure_ascii=False)
    (folder / "heads.json").write_text(text, encoding="utf-8")


def manifest(publication: Publication) -> dict[str, Any]:
    """Lineage, widths and scales, and whether the vectors are sound."""
    snapshot, soundness = publication.snapshot, soundness_of(publication)
    return {
        **publication.lineage,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "graph_id": snapshot.graph_id,
        "graph_version": snapshot.version,
        "commit_time": snapshot.commit_time,
        "dims": {name: matrix.shape[1] for name, matrix in publication.matrices.items()},
        "scales": dict(publication.scales),
        "num_users": snapshot.num_users,
        "sound": asdict(soundness),
        "status": "sound" if soundness.ok else "refused",
    }


def soundness_of(publication: Publication) -> Soundness:
    """Soundness of the vectors: complete, finite, not collapsed."""
    vectors = publication.vectors
    return sound(
        publication.matrices,
        publication.snapshot.num_users,
        has={"image": vectors.has_image, "text": vectors.has_text},
    )


def project(
    publication: Publication,
    generation: Generation,
    store: GraphStore,
    settings: FeatureStoreSettings,
    progress: Progress | None,
) -> int:
    """Steps 3 to 8; the number of users that left since the snapshot."""
    registry = FeatureRegistry(settings)
    registry.apply_generation(generation.id, generation.dims)
    online = open_online_store(settings)
    try:
        write_vectors(publication, generation, online, History(settings), progress)
        num_left = delete_left(publication.snapshot, generation.id, store, online)
        online.set_watermark(representation_name(generation.id), watermark(publication.snapshot))
        now = time.time_ns() // 1_000
        online.change_pointer(
            lambda found: found.activated(generation.id, reason="published", time=now)
        )
    finally:
        online.close()
    registry.activate_service(generation.id)
    return num_left


def write_vectors(
    publication: Publication,
    generation: Generation,
    online: OnlineStore,
    history: History,
    progress: Progress | None,
) -> None:
    """Write all vectors with their provenance, page by page, to history and online store."""
    snapshot, view = publication.snapshot, representation_name(generation.id)
    for number, rows in enumerate(pages(snapshot.num_users)):
        user_ids = snapshot.user_ids[rows]
        features = page_features(publication, generation, rows, len(user_ids))
        piece = Slice(graph_id=snapshot.graph_id, since=-1, version=snapshot.version, page=number)
        history.append(
            view,
            piece,
            user_ids,
            features,
            event_times=np.full(len(user_ids), snapshot.commit_time, np.int64),
            commit_time=snapshot.commit_time,
        )
        online.write(view, user_ids, features, commit_time=snapshot.commit_time)
        if progress is not None:
            progress("publish", rows.start + len(user_ids), snapshot.num_users)


def page_features(
    publication: Publication, generation: Generation, rows: slice, num: int
) -> dict[str, NDArray[Any]]:
    """The columns of one page of users."""
    created = datetime.fromisoformat(generation.manifest["created_at"]).replace(tzinfo=None)
    return {
        **{name: matrix[rows] for name, matrix in publication.matrices.items()},
        GRAPH_VERSION: np.full(num, publication.snapshot.version, np.int64),
        COMPUTED_AT: np.full(num, np.datetime64(created, "s")),
        PROVISIONAL: np.zeros(num, np.bool_),
    }


def pages(num_users: int) -> Iterator[slice]:
    """Rows of each page."""
    for start in range(0, num_users, PAGE_USERS):
        yield slice(start, start + PAGE_USERS)


def delete_left(
    snapshot: Snapshot, generation_id: str, store: GraphStore, online: OnlineStore
) -> int:
    """Delete from the view the users that are in the snapshot and no longer in the graph.

    The change feed may have delivered their deletion before the rows were written.
    """
    head = store.head()
    left = [
        user_id
        for rows in pages(snapshot.num_users)
        for user_id in absent(store, snapshot.user_ids[rows])
    ]
    if left:
        online.delete(representation_name(generation_id), left, before=head.commit_time)
    return len(left)


def absent(store: GraphStore, user_ids: Sequence[str]) -> list[str]:
    """The users that are not in the graph."""
    existing = {profile.user_id for profile in store.profiles(user_ids)}
    return [user_id for user_id in user_ids if user_id not in existing]


def watermark(snapshot: Snapshot) -> Watermark:
    """The watermark of vectors that were computed from this snapshot."""
    return Watermark(
        graph_id=snapshot.graph_id, version=snapshot.version, commit_time=snapshot.commit_time
    )
