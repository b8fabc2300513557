"""A sealed generation encodes any snapshot from its folder alone."""

import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from featurestore.errors import ArtifactCorrupt
from featurestore.generations.generation import Generation, Generations
from featurestore.settings import FeatureStoreSettings
from graphdb.facts import Batch, PostFact, UserDeletion
from graphdb.snapshot.snapshot import Snapshot, take_snapshot
from tests.training.encoding.test_shards import encoder
from tests.training.small_home import START, open_store
from training.encoding.all_users import UserVectors
from training.encoding.generation import drop_encodings, encodings, generation_vectors
from training.engine.progress import ConsoleReporter
from training.mmga.user_vectors import DEFAULT
from training.options.document import to_json
from training.runs.seed_vectors import SeedEncoder, SeedVectors
from training.settings import TrainingSettings

PARTS = ("graph", "image", "text", "has_image", "has_text")


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """A sealed generation in a home that has a copy of the graph and nothing else of the run."""

    generation: Generation
    settings: TrainingSettings
    published: SeedVectors

    def encode(
        self, *, all_follows: bool, change: Callable[[], Batch] | None = None
    ) -> tuple[Snapshot, UserVectors]:
        """The vectors over a snapshot of now, in this home."""
        with closing(open_store(self.settings.home)) as store, ConsoleReporter() as reporter:
            if change is not None:
                store.apply(change())
            snapshot = take_snapshot(store, self.settings.snapshots)
            vectors = generation_vectors(
                self.generation,
                snapshot,
                store,
                self.settings,
                reporter,
                all_follows=all_follows,
            )
        return snapshot, vectors


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The home in which a generation was made; its run is gone."""

    home: Path
    media: Path
    generation: Generation
    vectors: SeedVectors


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Origin:
    folder = tmp_path_factory.mktemp("origin")
    made = replace(encoder(folder), chunks=DEFAULT)
    vectors = made.vectors(publish=True)
    generation = seal(made, folder / "home")
    shutil.rmtree(made.run.path)
    return Origin(
        home=folder / "home", media=folder / "media", generation=generation, vectors=vectors
    )


@pytest.fixture
def elsewhere(origin: Origin, tmp_path: Path) -> Elsewhere:
    sealed = origin.generation
    shutil.copytree(sealed.path, tmp_path / "generations" / sealed.id)
    for path in origin.home.glob("graph.db*"):
        shutil.copy(path, tmp_path)
    return Elsewhere(
        generation=Generations(FeatureStoreSettings.at(tmp_path)).get(sealed.id),
        settings=TrainingSettings(home=tmp_path, media_root=origin.media, num_threads=1),
        published=origin.vectors,
    )


def seal(made: SeedEncoder, home: Path) -> Generation:
    """What publishing seals of the network of a run."""
    generations = Generations(FeatureStoreSettings.at(home))
    staging = generations.begin("g1")
    shutil.copy(made.run.model(0), staging / "model.safetensors")
    shutil.copy(made.run.tokenizer, staging / "tokenizer.json")
    (staging / "config.json").write_text(to_json(made.run.config))
    names = ("created_at", "graph_id", "graph_version", "commit_time", "dims", "scales")
    manifest = dict.fromkeys(names, "") | {"num_users": 45, "salt": made.run.run_id}
    return generations.seal("g1", manifest)


def same(first: UserVectors, second: UserVectors) -> bool:
    return all(np.array_equal(getattr(first, part), getattr(second, part)) for part in PARTS)


def test_another_home_gives_the_vectors_that_were_published(elsewhere: Elsewhere) -> None:
    published = elsewhere.published
    assert published.published is not None
    assert same(elsewhere.encode(all_follows=True)[1], published.published)
    assert same(elsewhere.encode(all_follows=False)[1], published.trained)


def test_a_new_snapshot_has_vectors_of_its_users_and_ousts_those_of_the_old_one(
    elsewhere: Elsewhere,
) -> None:
    elsewhere.encode(all_follows=True)

    def leave() -> Batch:
        return Batch(user_deletions=[UserDeletion(user_id="u3", time=START * 2)])

    snapshot, vectors = elsewhere.encode(all_follows=True, change=leave)
    assert len(vectors.graph) == snapshot.num_users == 44
    root = encodings(elsewhere.settings, "g1")
    (left,) = root.iterdir()
    assert f"-{snapshot.version}-" in left.name
    assert sorted(path.name for path in left.iterdir()) == [
        "all.safetensors",
        "modal-00000.safetensors",
    ]
    drop_encodings(elsewhere.settings, "g1")
    assert not root.exists()


def test_a_graph_without_users_has_no_vectors(elsewhere: Elsewhere) -> None:
    def leave() -> Batch:
        users = [f"u{number}" for number in range(45)]
        return Batch(user_deletions=[UserDeletion(user_id=u, time=START * 2) for u in users])

    snapshot, vectors = elsewhere.encode(all_follows=True, change=leave)
    assert snapshot.num_users == 0
    assert vectors.graph.shape == (0, elsewhere.published.trained.graph.shape[1])


def test_vectors_that_were_encoded_are_opened(elsewhere: Elsewhere) -> None:
    _, vectors = elsewhere.encode(all_follows=True)
    (folder,) = encodings(elsewhere.settings, "g1").iterdir()
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert same(elsewhere.encode(all_follows=True)[1], vectors)
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_a_post_that_was_encoded_before_is_not_encoded_again(elsewhere: Elsewhere) -> None:
    elsewhere.encode(all_follows=True)
    kept = list((elsewhere.settings.home / "post_inputs" / "vectors").glob("*/rows"))
    assert len(kept) == 2
    for rows in kept:  # what is read from there is seen to be
        rows.write_bytes(bytes(rows.stat().st_size))

    def write() -> Batch:
        return Batch(posts=[post("u7", "a new song and a race")])

    snapshot, vectors = elsewhere.encode(all_follows=True, change=write)
    writes = np.array([user_id == "u7" for user_id in snapshot.user_ids])
    assert vectors.has_text.all()
    assert np.array_equal(vectors.text.any(axis=1), writes)
    assert not vectors.image.any()


def test_without_what_was_kept_vectors_are_the_same(elsewhere: Elsewhere) -> None:
    _, before = elsewhere.encode(all_follows=True)
    drop_encodings(elsewhere.settings, "g1")
    _, again = elsewhere.encode(all_follows=True)
    shutil.rmtree(elsewhere.settings.home / "post_inputs" / "vectors")
    drop_encodings(elsewhere.settings, "g1")
    _, anew = elsewhere.encode(all_follows=True)
    assert same(before, again)
    assert same(before, anew)


def post(user_id: str, caption: str) -> PostFact:
    return PostFact(
        post_id="p-new", user_id=user_id, time=START * 2, tie=0, caption=caption, like_count=0
    )


def test_a_damaged_generation_encodes_nobody(elsewhere: Elsewhere) -> None:
    with (elsewhere.generation.path / "model.safetensors").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(ArtifactCorrupt, match="restore it"):
        elsewhere.encode(all_follows=True)
