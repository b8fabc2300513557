"""Vectors of all users by the network of one seed, before and after its training.

Up to one range of users is encoded in this process, because starting Ray takes longer than that.
More users are encoded range by range on the Ray cluster.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from graphdb.snapshot.snapshot import Snapshot
from training.encoding.all_users import UserVectors, best_device, encode_users
from training.encoding.ray_tasks import encode_ranges
from training.encoding.shards import EncodingJob, join
from training.encoding.vectors_file import load_vectors, save_vectors
from training.engine.files import load_tensors, save_tensors
from training.engine.progress import Reporter
from training.engine.ray_cluster import ray_session
from training.inputs.post_inputs import PostInputs
from training.mmga.model import MMGA, blank
from training.mmga.trainer import initial_model
from training.mmga.training_data import TrainingData
from training.mmga.user_vectors import DEFAULT, Chunks
from training.options.document import to_json
from training.runs.run_folder import Run
from training.sampling.snapshot_source import SnapshotSource
from training.sampling.source import GraphSource


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedVectors:
    """Vectors of one seed over training follows alone, at the initial weights and after training.

    `published` are the trained ones over all follows, for the seed that is published.
    """

    seed: int
    initial: UserVectors
    trained: UserVectors
    published: UserVectors | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedEncoder:
    """Encodes all users with the network of one seed of a run."""

    run: Run
    seed: int
    snapshot: Snapshot
    inputs: PostInputs
    data: TrainingData
    num_threads: int
    reporter: Reporter
    chunks: Chunks = DEFAULT

    def vectors(self, *, publish: bool) -> SeedVectors:
        """The vectors of one seed; those that exist are not encoded again. Raises RunFailed."""
        initial = self._vectors("initial", self._initial_model)
        trained = self._vectors("trained", self._trained_model)
        published = None
        if publish:
            published = self._vectors("published", self._trained_model, known=trained)
        for folder in self.folder.glob("encoding-*"):
            shutil.rmtree(folder)
        return SeedVectors(seed=self.seed, initial=initial, trained=trained, published=published)

    @property
    def folder(self) -> Path:
        """The seed's folder."""
        return self.run.seed_folder(self.seed)

    def _vectors(
        self, name: str, model: Callable[[], MMGA], *, known: UserVectors | None = None
    ) -> UserVectors:
        path = self.folder / f"{name}.safetensors"
        if not path.exists():
            self.reporter.say(f"seed {self.seed}: encoding {self.data.num_users:,} users ({name})")
            if self.data.num_users <= self.chunks.num_users:
                save_vectors(path, self._encoded_here(model(), known))
            else:
                self._encode_on_ray(name, model, path, all_follows=known is not None)
        return load_vectors(path, UserVectors)

    def _encoded_here(self, model: MMGA, known: UserVectors | None) -> UserVectors:
        source: GraphSource = self.data.source
        if known is not None:
            source = SnapshotSource(self.snapshot, model.config.graph.edges, without_folds=())
        with self.reporter.stop.at_once():
            return encode_users(
                model.to(best_device()),
                self.data,
                source,
                salt=self._salt,
                known=known,
                chunks=self.chunks,
            )

    def _encode_on_ray(
        self, name: str, model: Callable[[], MMGA], path: Path, *, all_follows: bool
    ) -> None:
        folder = (self.folder / f"encoding-{name}").resolve()
        weights = folder / "model.safetensors"
        if not weights.exists():
            save_tensors(weights, model().state_dict())
        job = EncodingJob(
            folder=folder,
            modal_folder=folder.with_name("encoding-trained") if all_follows else folder,
            config=to_json(self.run.config),
            snapshot=self.snapshot.path.resolve(),
            post_inputs=self.inputs.path.resolve(),
            weights=weights,
            all_follows=all_follows,
            salt=self._salt,
            num_users=self.data.num_users,
            chunks=self.chunks,
            num_threads=self.num_threads,
        )
        with ray_session(self.run.workers, self.reporter.stop), self.reporter.stop.at_once():
            encode_ranges(job, self.reporter.counting)
        join(job, path)

    @property
    def _salt(self) -> bytes:
        return self.run.run_id.encode()

    def _initial_model(self) -> MMGA:
        return initial_model(self.run.config, self.data, self.seed)

    def _trained_model(self) -> MMGA:
        model = blank(self.run.config, self.data.statistics.shape[1])
        model.load_state_dict(load_tensors(self.run.model(self.seed)))
        return model
