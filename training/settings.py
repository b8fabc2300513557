"""Settings of training, read once from the environment by the command that runs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from foundation.settings import (
    FETCH_REMOTE_IMAGES,
    HOME,
    KEEP_GENERATIONS,
    KEEP_RUNS,
    KEEP_SNAPSHOTS,
    MEDIA_ROOT,
    MLFLOW_EXPERIMENT_NAME,
    MLFLOW_TRACKING_URI,
    THREADS,
)
from graphdb.settings import GraphSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """Paths and servers of training, and limits of images.

    `media_root` is where image paths are looked for that are not in the folder of their events. All
    images that are decoded at one time take at most `max_decoding_bytes` of memory. Images behind
    http(s) URLs are fetched only where `fetch_remote_images` is set. Workers that sample from the
    database open `graph_url`. Curves also go to the MLflow server at `mlflow_uri`. Beside what is
    in use, the newest `keep_generations`, `keep_snapshots` of each graph, and `keep_runs` that are
    finished and that are not, are kept.
    """

    home: Path
    media_root: Path | None = None
    fetch_remote_images: bool = FETCH_REMOTE_IMAGES.default
    max_image_bytes: int = 20_000_000
    max_image_pixels: int = 40_000_000
    max_decoding_bytes: int = 512 * 2**20
    num_threads: int = THREADS.default
    keep_generations: int = KEEP_GENERATIONS.default
    keep_snapshots: int = KEEP_SNAPSHOTS.default
    keep_runs: int = KEEP_RUNS.default
    graph_url: str = field(default="", repr=False)
    mlflow_uri: str | None = field(default=None, repr=False)
    mlflow_experiment: str = MLFLOW_EXPERIMENT_NAME.default

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "TrainingSettings":
        """Read what `foundation.settings` declares of home, images, threads, retention and MLflow.

        Also the URL of the graph, as `GraphSettings` reads it. Raises SettingInvalid.
        """
        return cls(
            home=HOME.read(environ),
            media_root=MEDIA_ROOT.read(environ),
            fetch_remote_images=FETCH_REMOTE_IMAGES.read(environ),
            num_threads=THREADS.read(environ),
            keep_generations=KEEP_GENERATIONS.read(environ),
            keep_snapshots=KEEP_SNAPSHOTS.read(environ),
            keep_runs=KEEP_RUNS.read(environ),
            graph_url=absolute_url(GraphSettings.from_environ(environ).graph_url),
            mlflow_uri=MLFLOW_TRACKING_URI.read(environ),
            mlflow_experiment=MLFLOW_EXPERIMENT_NAME.read(environ),
        )

    @property
    def snapshots(self) -> Path:
        """Folder of the graph's snapshots."""
        return self.home / "snapshots"

    @property
    def runs(self) -> Path:
        """Folder of training runs: configuration, losses, checkpoints, models."""
        return self.home / "checkpoints"


SQLITE = "sqlite:///"


def absolute_url(graph_url: str) -> str:
    """The URL of a graph, with the whole path where it is that of a file."""
    if not graph_url.startswith(SQLITE) or graph_url == SQLITE:
        return graph_url
    return SQLITE + str(Path(graph_url.removeprefix(SQLITE)).absolute())
