"""Prepares post inputs: reads each image once, resizes it, tokenises captions, joins them by post.

The caches of earlier runs, killed ones included, are reused.

Shapes: P posts of a snapshot, S pixels a side.
"""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from foundation.durable_files import PARTIAL
from foundation.image_report import ImageReport, write_image_report
from graphdb.facts import Position
from training.errors import PostInputsUnusable
from training.inputs.caption_tokens import prepare_tokens
from training.inputs.captions import PinnedTexts
from training.inputs.image_decoding import ImageLimits, square_pixels
from training.inputs.image_sources import WEB_SCHEMES, ImageSources
from training.inputs.image_store import ImageStore, KeptImage, open_image_store
from training.inputs.media_folders import moved_folders
from training.inputs.post_inputs import PIXELS_VERSION, PostInputs, open_post_inputs, write_view
from training.inputs.row_file import RowFile
from training.settings import TrainingSettings

KEPT_TOKEN_FOLDERS = 4


Progress = Callable[[str, int, int], None]
"""Called with (step, done, total)."""


def prepare_post_inputs(
    texts: PinnedTexts,
    settings: TrainingSettings,
    tokenizer: Any,
    *,
    image_size: int,
    max_tokens: int,
    positions: Sequence[Position] = (),
    retry_images: bool = False,
    progress: Progress | None = None,
) -> PostInputs:
    """Read new images, update the caches of pixels and tokens, and open them.

    The caches of earlier runs, killed ones included, are reused; with `retry_images` all images are
    read again. `positions` tell which folders of events have moved. An image that cannot be read is
    counted in `PostInputs.images` and does not fail the call. Raises PostInputsUnusable.
    """
    folder = settings.home / "post_inputs"
    with writing(folder):
        tokens = prepare_tokens(
            texts, folder / "tokens", tokenizer, max_tokens, step(progress, "tokens")
        )
        references = {row: image for row, image in enumerate(texts.images) if image}
        with open_image_store(folder / "images") as images:
            sources = image_sources(settings, texts.graph_id, positions)
            report, kept = prepare_images(
                images,
                references,
                sources,
                ImageLimits(
                    max_pixels=settings.max_image_pixels,
                    max_decoding_bytes=settings.max_decoding_bytes,
                ),
                retry=retry_images,
                progress=step(progress, "images"),
            )
            write_image_report(settings.home, texts.graph_id, report)
            pixels = RowFile(
                folder=folder / "pixels" / f"{image_size}-{PIXELS_VERSION}",
                shape=(3, image_size, image_size),
            )
            resize(images, kept, pixels, step(progress, "pixels"))
        rows_P, hashes_P = pixel_rows(kept, pixels, len(texts.images))
        view = write_view(folder, tokens, pixels, rows_P, hashes_P, report)
        drop_old_folders(folder, keep=tokens)
    return replace(open_post_inputs(view), images=report)


def prepare_images(
    images: ImageStore,
    references: dict[int, str],
    sources: ImageSources,
    limits: ImageLimits,
    *,
    retry: bool,
    progress: Callable[[int, int], None],
) -> tuple[ImageReport, dict[int, KeptImage]]:
    """Read new images; return the outcomes, and the kept image of each post row that has one."""
    wanted = list(references.values())
    num_read = images.catch_up(wanted, sources, limits, retry=retry, progress=progress)
    found = zip(references, images.kept(wanted, sources), strict=True)
    kept = {row: image for row, image in found if image is not None}
    return images.report(wanted, sources, num_read=num_read), kept


def image_sources(
    settings: TrainingSettings, graph_id: str, positions: Sequence[Position]
) -> ImageSources:
    """Files in the folders of events and below the media root, and the web if the settings allow
    it."""
    return ImageSources(
        media_root=settings.media_root,
        graph_id=graph_id,
        moved=moved_folders(positions),
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
    known = set(pixels.numbers().tolist())
    wanted = sorted({(image.content_id, image.content_hash) for image in kept.values()})
    new = [(content_id, number) for content_id, number in wanted if number not in known]

    def resized() -> Iterator[tuple[int, NDArray[np.uint8]]]:
        jpegs = images.jpegs([content_id for content_id, _ in new])
        for done, ((_, number), jpeg) in enumerate(zip(new, jpegs, strict=True), 1):
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
        rows_P[post_row] = row_of[image.content_hash]
        hashes_P[post_row] = image.content_hash
    return rows_P, hashes_P


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
    """Delete incomplete folders, all but the newest tokens, and views without their tokens.

    Every run trains its own tokenizer. A process that has mapped deleted files can still read them.
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
