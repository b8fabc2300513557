"""Vectors of a sealed generation over a snapshot, from the generation's folder alone.

    HOME/encodings/GENERATION/OVER/modal-*.safetensors        R^I and R^T, by range
    HOME/encodings/GENERATION/OVER/FOLLOWS/layer-*            passes over the graph, until they end
    HOME/encodings/GENERATION/OVER/FOLLOWS.safetensors        vectors of all users

OVER names the snapshot and its post inputs, FOLLOWS is `all` or `training`. All machines of the Ray
cluster share the home.
"""

import shutil
from functools import partial
from pathlib import Path

from featurestore.generations.generation import Generation
from graphdb.snapshot.snapshot import Snapshot
from graphdb.store import GraphStore
from training.encoding.all_users import UserVectors
from training.encoding.job import EncodingJob
from training.encoding.passes import encode
from training.engine.progress import Reporter
from training.inputs.captions import pin_texts
from training.inputs.post_inputs import PostInputs
from training.inputs.preparation import prepare_post_inputs
from training.mmga.config import RunConfig
from training.mmga.user_vectors import DEFAULT, Chunks
from training.networks.tokenizer import load_tokenizer
from training.options.document import from_json, to_json
from training.settings import TrainingSettings


def generation_vectors(
    generation: Generation,
    snapshot: Snapshot,
    store: GraphStore,
    settings: TrainingSettings,
    reporter: Reporter,
    *,
    all_follows: bool,
    num_workers: int = 1,
    chunks: Chunks = DEFAULT,
) -> UserVectors:
    """Vectors of all users of a snapshot by the network of a generation, memory-mapped.

    With `all_follows` the held-out follows carry messages too, as in publishing; without them the
    vectors are for evaluation. Texts are read from `store` where the snapshot has none pinned yet.
    What was encoded before is not encoded again; vectors over other snapshots are deleted. One
    process at a time encodes a generation. Raises ArtifactCorrupt, PostInputsUnusable, RunFailed.
    """
    generation.verify()
    config = from_json(RunConfig, (generation.path / "config.json").read_text(encoding="utf-8"))
    inputs = generation_inputs(generation, config, snapshot, store, settings, reporter)
    folder = encodings(settings, generation.id) / (
        f"{snapshot.graph_id}-{snapshot.version}-{inputs.path.name}"
    )
    drop_others(folder)
    follows = "all" if all_follows else "training"
    job = EncodingJob(
        folder=folder / follows,
        modal_folder=folder,
        config=to_json(config),
        snapshot=snapshot.path.resolve(),
        post_inputs=inputs.path.resolve(),
        weights=(generation.path / "model.safetensors").resolve(),
        all_follows=all_follows,
        salt=str(generation.manifest["salt"]).encode(),
        num_users=snapshot.num_users,
        chunks=chunks,
        num_threads=settings.num_threads,
        keeps_posts=True,
    )
    path = folder / f"{follows}.safetensors"
    vectors = encode(job, path, num_workers=num_workers, reporter=reporter)
    shutil.rmtree(job.folder, ignore_errors=True)
    return vectors


def drop_others(folder: Path) -> None:
    """Delete the folders beside this one."""
    for other in folder.parent.glob("*"):
        if other != folder:
            shutil.rmtree(other)


def drop_encodings(settings: TrainingSettings, generation_id: str) -> None:
    """Delete all vectors that were encoded with a generation."""
    shutil.rmtree(encodings(settings, generation_id), ignore_errors=True)


def encodings(settings: TrainingSettings, generation_id: str) -> Path:
    """The folder of the vectors that were encoded with a generation."""
    return (settings.home / "encodings" / generation_id).resolve()


def generation_inputs(
    generation: Generation,
    config: RunConfig,
    snapshot: Snapshot,
    store: GraphStore,
    settings: TrainingSettings,
    reporter: Reporter,
) -> PostInputs:
    """Tokens and pixels of the snapshot's posts, as the generation's encoders read them."""
    texts = pin_texts(store, snapshot, progress=partial(reporter.counting, "texts"))
    return prepare_post_inputs(
        texts,
        settings,
        load_tokenizer(generation.path / "tokenizer.json"),
        image_size=config.image.image_size,
        max_tokens=config.text.max_tokens,
        positions=store.positions(),
        progress=reporter.counting,
    )
