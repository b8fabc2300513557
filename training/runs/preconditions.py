"""Checks before a run begins of everything that it needs later: servers, folders, CPUs, weights."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from transformers import BertModel, ViTModel

from featurestore.feast_adapter.registry import FeatureRegistry
from featurestore.online.open import open_online_store
from featurestore.settings import FeatureStoreSettings
from graphdb.snapshot.snapshot import Snapshot
from training.engine.ray_cluster import check_ray
from training.errors import ConfigInvalid, NothingToTrain, Unwritable
from training.evaluation.evaluator import MIN_FOLLOWS, num_held_out
from training.inputs.captions import PinnedTexts
from training.mmga.config import RunConfig
from training.mmga.preconditions import check_follows, check_weights
from training.networks.pretrained import check_image, check_text
from training.networks.tokenizer import pretrained_tokenizer
from training.networks.weights import weights
from training.sampling.snapshot_source import SnapshotSource
from training.settings import TrainingSettings

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR)
MIN_FREE_BYTES = 200 * 2**20
"""Below this no run ends: Ray alone writes as much."""


def check_machine(settings: TrainingSettings, num_workers: int) -> None:
    """Check folders, disk, images and Ray.

    Raises Unwritable, ConfigInvalid, ClusterUnreachable, ClusterTooSmall, RayUnusable.
    """
    check_writable((settings.snapshots, settings.runs, settings.home / "post_inputs"))
    free = shutil.disk_usage(settings.home).free
    if free < MIN_FREE_BYTES:
        raise Unwritable(
            f"{settings.home} has {free // 2**20} MB free, a run needs at least "
            f"{MIN_FREE_BYTES // 2**20}: free space, or set MMGA_HOME to another disk"
        )
    root = settings.media_root
    if root is not None and not (root.is_dir() and os.access(root, os.R_OK | os.X_OK)):
        raise ConfigInvalid(
            f"MMGA_MEDIA_ROOT={root} is not a folder that can be read: name the folder of the "
            "images, or unset it"
        )
    check_ray(num_workers)


def check_writable(folders: Iterable[Path]) -> None:
    """Create each folder and a file in it. Raises Unwritable."""
    for folder in folders:
        if folder.exists() and not folder.is_dir():
            raise Unwritable(f"{folder} is a file where a run needs a folder: move it away")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise unwritable(error, folder) from error


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Name a folder, or the file below it, where the disk is full or refuses. Raises Unwritable."""
    try:
        yield
    except OSError as error:
        if error.errno in (*DISK_FULL, *REFUSED):
            raise unwritable(error, folder) from error
        raise


def unwritable(error: OSError, folder: Path) -> Unwritable:
    """The error of what cannot be written in a folder."""
    if error.errno in DISK_FULL:
        remedy = "free space; the same command then goes on from where it was"
    else:
        remedy = "make it writable, or set MMGA_HOME to a folder that is"
    path = error.filename or folder
    return Unwritable(f"{path} cannot be written ({error.strerror}): {remedy}")


def check_publishing(settings: FeatureStoreSettings) -> None:
    """Check that a generation could be published now. Raises errors of the feature store."""
    check_writable((settings.generations_root, settings.indexes_root, settings.history_root))
    with closing(open_online_store(settings)) as online:
        online.pointer()
    FeatureRegistry(settings).check_writable()


def check_config(config: RunConfig) -> None:
    """Check the objectives, and read the pretrained weights once, before anything is written.

    Raises ConfigInvalid, WeightsUnusable.
    """
    check_weights(config)
    check_text(config.text)
    check_image(config.image)
    if config.text.pretrained is not None:
        pretrained_tokenizer(config.text)
        weights(config.text.pretrained, BertModel)
    if config.image.pretrained is not None:
        weights(config.image.pretrained, ViTModel)


def check_data(snapshot: Snapshot, texts: PinnedTexts, config: RunConfig) -> None:
    """Check that there is something to train on, before images are read. Raises NothingToTrain."""
    check_follows(SnapshotSource(snapshot, config.graph.edges))
    if not any(caption.strip() for caption in texts.captions):
        raise NothingToTrain("no post has a caption; ingest posts first")


def not_evaluated(snapshot: Snapshot) -> str | None:
    """Why a run of this snapshot cannot be evaluated, as far as can be told before training."""
    num = num_held_out(snapshot)
    if num >= MIN_FOLLOWS:
        return None
    return (
        f"warning: {num} held-out follows are too few to evaluate on (at least {MIN_FOLLOWS}): "
        "the run trains without evaluation; ingest more follows"
    )
