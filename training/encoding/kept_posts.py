"""Vectors of posts that are kept from one encoding to the next one with the same weights.

    MODAL_FOLDER/fresh-00003.safetensors    what the posts of the users of range 3 added

Ranges read what was kept before the encoding began and leave what they add in files of their own,
which are kept when all ranges are encoded: so the vectors of an encoding depend neither on the
order of its ranges nor on where a killed one went on.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from torch import Tensor

from foundation.durable_files import write_whole
from foundation.safetensors_file import mapped_tensors
from training.encoding.job import EncodingJob
from training.engine.checkpoints import entries_below
from training.engine.files import load_tensors
from training.inputs.kept_vectors import KeptVectors, Vectors, keep
from training.mmga.config import RunConfig
from training.mmga.user_vectors import KeptPosts
from training.networks.config import ComputeConfig, ImageEncoderConfig, TextEncoderConfig
from training.options.document import from_json

MODALITIES = ("image", "text")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The folder of the kept vectors of an encoder, and their width."""

    folder: Path
    width: int


@lru_cache(maxsize=1)
def places(job: EncodingJob) -> Mapping[str, Place]:
    """The places of a job's encoders by modality."""
    config, state = from_json(RunConfig, job.config), load_tensors(job.weights)
    root = job.post_inputs.parents[1] / "vectors"
    found = {}
    for name in MODALITIES:
        encoder: ImageEncoderConfig | TextEncoderConfig = getattr(config, name)
        digest = encoder_digest(encoder, config.compute, entries_below(state, name))
        found[name] = Place(folder=root / digest, width=encoder.width)
    return found


def encoder_digest(
    config: ImageEncoderConfig | TextEncoderConfig,
    compute: ComputeConfig,
    state: Mapping[str, Tensor],
) -> str:
    """32 hexadecimal digits that name what an encoder computes: options, precision, weights."""
    digest = blake2b(repr((config, compute.precision, compute.compiled)).encode(), digest_size=16)
    for name, weights in sorted(state.items()):
        digest.update(name.encode())
        digest.update(weights.numpy().tobytes())
    return digest.hexdigest()


def open_kept(job: EncodingJob) -> KeptPosts:
    """What is kept of the job's encoders."""
    image, text = (
        KeptVectors(place.folder, place.width)
        for place in (places(job)[name] for name in MODALITIES)
    )
    return KeptPosts(image=image, text=text)


def save_fresh(job: EncodingJob, number: int, kept: KeptPosts) -> None:
    """Write what the posts of a range have added."""
    columns = {}
    for name in MODALITIES:
        hashes, vectors = zip(*getattr(kept, name).fresh, strict=True)
        columns[f"{name}.hashes"] = np.concatenate(hashes).view(np.int64)
        columns[f"{name}.vectors"] = np.concatenate(vectors)
    path = job.modal_folder / f"fresh-{number:05d}.safetensors"
    write_whole(path, lambda partial: save_file(columns, partial))


def keep_fresh(job: EncodingJob) -> None:
    """Keep what the ranges have added, in their order; repeatable."""
    paths = sorted(job.modal_folder.glob("fresh-*.safetensors"))
    if not paths:
        return
    for name, place in places(job).items():
        keep(place.folder, place.width, fresh_of(paths, name))
    for path in paths:
        path.unlink()


def fresh_of(paths: list[Path], name: str) -> Iterator[Vectors]:
    """What ranges have added of one modality, one range in memory at a time."""
    for path in paths:
        columns = mapped_tensors(path)
        yield np.asarray(columns[f"{name}.hashes"]).view(np.uint64), columns[f"{name}.vectors"]
