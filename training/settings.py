"""Settings of training, read once from the environment by the command that runs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from graphdb.settings import GraphSettings

DEFAULT_HOME = ".mmga"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """Where training reads and writes, and how much an image may cost.

    `media_root` is the folder under which relative image paths are resolved (None: the folder
    that ingest recorded in the home). Images behind http(s) URLs are fetched only where
    `fetch_remote_images` is set. Workers that sample from the database open `graph_url`. Curves
    also go to the MLflow server at `mlflow_uri`.
    """

    home: Path
    media_root: Path | None = None
    fetch_remote_images: bool = False
    max_image_bytes: int = 20_000_000
    max_image_pixels: int = 40_000_000
    num_threads: int = 2
    graph_url: str = field(default="", repr=False)
    mlflow_uri: str | None = field(default=None, repr=False)
    mlflow_experiment: str = "mmga"

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "TrainingSettings":
        """Settings from MMGA_HOME, MMGA_MEDIA_ROOT, MMGA_FETCH_REMOTE_IMAGES, MMGA_THREADS.

        Also MMGA_GRAPH_URL, as `GraphSettings` reads it, and MLflow's own MLFLOW_TRACKING_URI and
        MLFLOW_EXPERIMENT_NAME.
        """
        media_root = environ.get("MMGA_MEDIA_ROOT")
        return cls(
            home=Path(environ.get("MMGA_HOME", DEFAULT_HOME)),
            media_root=Path(media_root) if media_root else None,
            fetch_remote_images=environ.get("MMGA_FETCH_REMOTE_IMAGES", "") in {"1", "true"},
            num_threads=int(environ.get("MMGA_THREADS", "2")),
            graph_url=absolute_url(GraphSettings.from_environ(environ).graph_url),
            mlflow_uri=environ.get("MLFLOW_TRACKING_URI") or None,
            mlflow_experiment=environ.get("MLFLOW_EXPERIMENT_NAME") or "mmga",
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
