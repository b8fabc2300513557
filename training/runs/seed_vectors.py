"""Vectors of all users by the network of one seed, before and after its training."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from graphdb.snapshot.snapshot import Snapshot
from training.encoding.all_users import UserVectors
from training.encoding.job import EncodingJob
from training.encoding.passes import encode
from training.engine.files import load_tensors, save_tensors
from training.engine.progress import Reporter
from training.inputs.post_inputs import PostInputs
from training.mmga.model import MMGA, blank
from training.mmga.trainer import initial_model
from training.mmga.training_data import TrainingData
from training.mmga.user_vectors import DEFAULT, Chunks
from training.options.document import to_json
from training.runs.run_folder import Run


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
        trained = self._vectors("trained", self._trained_model, keeps_posts=publish)
        published = None
        if publish:
            published = self._vectors("published", self._trained_model, all_follows=True)
        for folder in self.folder.glob("encoding-*"):
            shutil.rmtree(folder)
        return SeedVectors(seed=self.seed, initial=initial, trained=trained, published=published)

    @property
    def folder(self) -> Path:
        """The seed's folder."""
        return self.run.seed_folder(self.seed)

    def _vectors(
        self,
        name: str,
        model: Callable[[], MMGA],
        *,
        all_follows: bool = False,
        keeps_posts: bool = False,
    ) -> UserVectors:
        path = self.folder / f"{name}.safetensors"
        job = self._job(name, all_follows=all_follows, keeps_posts=keeps_posts)
        if not path.exists():
            self.reporter.say(f"seed {self.seed}: encoding {job.num_users:,} users ({name})")
            if not job.weights.exists():
                save_tensors(job.weights, model().state_dict())
        return encode(job, path, num_workers=self.run.workers, reporter=self.reporter)

    def _job(self, name: str, *, all_follows: bool, keeps_posts: bool) -> EncodingJob:
        """With all follows, posts are encoded as with those of training."""
        folder = (self.folder / f"encoding-{name}").resolve()
        return EncodingJob(
            folder=folder,
            modal_folder=folder.with_name("encoding-trained") if all_follows else folder,
            config=to_json(self.run.config),
            snapshot=self.snapshot.path.resolve(),
            post_inputs=self.inputs.path.resolve(),
            weights=folder / "model.safetensors",
            all_follows=all_follows,
            salt=self.run.run_id.encode(),
            num_users=self.data.num_users,
            chunks=self.chunks,
            num_threads=self.num_threads,
            keeps_posts=keeps_posts,
        )

    def _initial_model(self) -> MMGA:
        return initial_model(self.run.config, self.data, self.seed)

    def _trained_model(self) -> MMGA:
        model = blank(self.run.config, self.data.statistics.shape[1])
        model.load_state_dict(load_tensors(self.run.model(self.seed)))
        return model
