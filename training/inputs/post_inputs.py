"""What the encoders read of each post: tokens and pixels, prepared once, memory-mapped.

P posts in the order of the snapshot, T tokens a post, I images in the cache, S pixels a side.

    images/          each image as it was read once: bounded JPEGs and an index of outcomes
    pixels/S-N/      resized pixels of the kept images, append-only, shared by all snapshots
    tokens/DIGEST-T/DIGEST/   tokens of the captions of a snapshot under one tokenizer
    views/DIGEST/    which pixels belong to which post: what `open_post_inputs` opens

A post without a picture or without words is normal: its row says so.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from foundation.durable_files import PARTIAL, whole_folder
from training.errors import PostInputsUnusable
from training.inputs.caption_tokens import prepare_tokens
from training.inputs.captions import PinnedTexts
from training.inputs.image_decoding import ImageLimits, square_pixels
from training.inputs.image_sources import WEB_SCHEMES, ImageSources
from training.inputs.image_store import ImageReport, ImageStore, KeptImage, open_image_store
from training.inputs.row_file import RowFile
from training.settings import TrainingSettings

PIXELS_VERSION = 1
"""Raised when `square_pixels` changes: pixels of another version are never mixed in."""

KEPT_TOKEN_FOLDERS = 4

Progress = Callable[[str, int, int], None]
"""Called with (step, done, total)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PostInputs:
    """Encoder inputs of all posts of a snapshot, in its order, memory-mapped.

    `tokens` is (P, T) int32, padded, framed by [CLS] and [SEP]; `token_counts` (P,) counts what is
    not padding. `caption_hashes` (P,) uint64 are equal where the tokens are, 0 where there are no
    words. `pixel_rows` (P,) int32 points into `pixels` (I, 3, S, S) uint8, -1 where there is no
    image; `image_hashes` (P,) uint64 are equal where the image is, 0 where there is none.
    """

    path: Path
    tokens: NDArray[np.int32]
    token_counts: NDArray[np.int32]
    caption_hashes: NDArray[np.uint64]
    pixel_rows: NDArray[np.int32]
    pixels: NDArray[np.uint8]
    image_hashes: NDArray[np.uint64]
    pad_token_id: int
    images: ImageReport

    @property
    def num_posts(self) -> int:
        """P."""
        return len(self.token_counts)

    @property
    def has_text(self) -> NDArray[np.bool_]:
        """(P,) whether the caption has words."""
        return self.caption_hashes != 0

    @property
    def has_image(self) -> NDArray[np.bool_]:
        """(P,) whether the image is there."""
        return self.pixel_rows >= 0


def prepare_post_inputs(
    texts: PinnedTexts,
    settings: TrainingSettings,
    tokenizer: Any,
    *,
    image_size: int,
    max_tokens: int,
    progress: Progress | None = None,
) -> PostInputs:
    """Read the images that were not read yet, bring the caches up to the texts, open them.

    Whatever an earlier run, also a killed one, has prepared is used again. An image that cannot be
    had costs nothing but itself, and is counted in `PostInputs.images`. Raises PostInputsUnusable.
    """
    folder = settings.home / "post_inputs"
    with writing(folder):
        tokens = prepare_tokens(
            texts, folder / "tokens", tokenizer, max_tokens, step(progress, "tokens")
        )
        references = {row: image for row, image in enumerate(texts.images) if image}
        with open_image_store(folder / "images") as images:
            report, kept = prepare_images(images, references, settings, step(progress, "images"))
            pixels = RowFile(
                folder=folder / "pixels" / f"{image_size}-{PIXELS_VERSION}",
                shape=(3, image_size, image_size),
            )
            resize(images, kept, pixels, step(progress, "pixels"))
        rows_P, hashes_P = pixel_rows(kept, pixels, len(texts.images))
        view = write_view(folder, tokens, pixels, rows_P, hashes_P, report)
        drop_old_folders(folder, keep=tokens)
    return replace(open_post_inputs(view), images=report)


def open_post_inputs(path: Path) -> PostInputs:
    """Map inputs that `prepare_post_inputs` has prepared (`PostInputs.path`), in any process."""
    try:
        view = json.loads((path / "view.json").read_text())
        tokens = path.parents[1] / view["tokens"]
        about = json.loads((tokens / "tokens.json").read_text())
        pixels = RowFile(folder=path.parents[1] / view["pixels"], shape=tuple(view["pixel_shape"]))
        return PostInputs(
            path=path,
            tokens=load(tokens / "tokens.npy"),
            token_counts=load(tokens / "token_counts.npy"),
            caption_hashes=load(tokens / "caption_hashes.npy"),
            pixel_rows=load(path / "pixel_rows.npy"),
            pixels=pixels.rows(view["num_pixels"]),
            image_hashes=load(path / "image_hashes.npy"),
            pad_token_id=about["pad_token_id"],
            images=ImageReport(**view["images"]),
        )
    except FileNotFoundError as error:
        raise PostInputsUnusable(
            f"post inputs {path} are not complete ({error.filename} is gone): prepare them again"
        ) from error


def prepare_images(
    images: ImageStore,
    references: dict[int, str],
    settings: TrainingSettings,
    progress: Callable[[int, int], None],
) -> tuple[ImageReport, dict[int, KeptImage]]:
    """Read what was not read; the outcomes, and the kept image of each post row that has one."""
    wanted = list(references.values())
    sources = image_sources(settings)
    limits = ImageLimits(max_pixels=settings.max_image_pixels)
    num_read = images.catch_up(wanted, sources, limits, progress=progress)
    found = zip(references, images.kept(wanted, sources), strict=True)
    kept = {row: image for row, image in found if image is not None}
    return images.report(wanted, sources, num_read=num_read), kept


def image_sources(settings: TrainingSettings) -> ImageSources:
    """Files below the media root, which ingest has recorded where no setting names it; the web
    where the settings allow it."""
    recorded = settings.home / "media_root"
    root = settings.media_root
    if root is None and recorded.is_file():
        root = Path(recorded.read_text(encoding="utf-8").strip())
    return ImageSources(
        media_root=root,
        schemes=frozenset({"file"}) | (WEB_SCHEMES if settings.fetch_remote_images else set()),
        max_bytes=settings.max_image_bytes,
    )


def resize(
    images: ImageStore,
    kept: dict[int, KeptImage],
    pixels: RowFile,
    progress: Callable[[int, int], None],
) -> None:
    """Append the pixels of the contents that are not resized yet."""
    new = sorted({image.content_id for image in kept.values()} - set(pixels.numbers().tolist()))

    def resized() -> Iterator[tuple[int, NDArray[np.uint8]]]:
        for done, (number, jpeg) in enumerate(zip(new, images.jpegs(new), strict=True), 1):
            yield number, square_pixels(jpeg, pixels.shape[-1])
            progress(done, len(new))

    if new:
        pixels.append(resized())


def pixel_rows(
    kept: dict[int, KeptImage], pixels: RowFile, num_posts: int
) -> tuple[NDArray[np.int32], NDArray[np.uint64]]:
    """Pixel rows (P,), -1 where there is no image, and image hashes (P,), 0 where there is none."""
    row_of = {number: row for row, number in enumerate(pixels.numbers().tolist())}
    rows_P = np.full(num_posts, -1, np.int32)
    hashes_P = np.zeros(num_posts, np.uint64)
    for post_row, image in kept.items():
        rows_P[post_row] = row_of[image.content_id]
        hashes_P[post_row] = image.content_hash
    return rows_P, hashes_P


def write_view(
    folder: Path,
    tokens: Path,
    pixels: RowFile,
    rows_P: NDArray[np.int32],
    hashes_P: NDArray[np.uint64],
    report: ImageReport,
) -> Path:
    """The folder that joins tokens and pixels; immutable, named by what it joins."""
    view = {
        "tokens": str(tokens.relative_to(folder)),
        "pixels": str(pixels.folder.relative_to(folder)),
        "pixel_shape": list(pixels.shape),
        "num_pixels": int(rows_P.max(initial=-1)) + 1,
        "images": asdict(replace(report, num_read=0)),
    }
    name = blake2b(json.dumps(view).encode() + rows_P.tobytes(), digest_size=8).hexdigest()
    path = folder / "views" / name
    if not path.exists():
        with whole_folder(path) as staging:
            np.save(staging / "pixel_rows.npy", rows_P)
            np.save(staging / "image_hashes.npy", hashes_P)
            (staging / "view.json").write_text(json.dumps(view))
    return path


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Write the caches, as the only process of the machine. Raises PostInputsUnusable."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock", poll_interval=0.05):
            yield
    except OSError as error:
        raise PostInputsUnusable(
            f"{folder} cannot be written ({error}): make it writable, and free space"
        ) from error


def drop_old_folders(folder: Path, *, keep: Path) -> None:
    """Drop what killed runs left, all but the newest tokens, and views whose tokens are gone.

    Every run trains a tokenizer of its own; a process that has mapped dropped files keeps them.
    """
    tokens = sorted((folder / "tokens").glob("*/*"), key=modified, reverse=True)
    whole = [path for path in tokens if path.suffix != PARTIAL and path != keep]
    for path in set(tokens) - set(whole[: KEPT_TOKEN_FOLDERS - 1]) - {keep}:
        shutil.rmtree(path)
    for path in (folder / "views").iterdir():
        about = path / "view.json"
        if not about.exists() or not (folder / json.loads(about.read_text())["tokens"]).exists():
            shutil.rmtree(path)
    for path in (folder / "tokens").iterdir():
        if not any(path.iterdir()):
            path.rmdir()


def modified(path: Path) -> float:
    """When a folder was last written into."""
    return path.stat().st_mtime


def step(progress: Progress | None, name: str) -> Callable[[int, int], None]:
    """The progress of one step."""
    return lambda done, total: progress(name, done, total) if progress is not None else None


def load(path: Path) -> NDArray[Any]:
    """An array on disk, mapped read-only (an empty one cannot be mapped)."""
    array: NDArray[Any] = np.load(path, mmap_mode="r")
    return array
