"""Post inputs: tokens and pixels of each post, prepared once, memory-mapped.

P posts in the order of the snapshot, T tokens a post, I images in the cache, S pixels a side.

    images/          each image as it was read once: bounded JPEGs and an index of outcomes
    images-GRAPH_ID.json      outcomes of a graph's images in its last run, counted
    pixels/S-N/      resized pixels of the kept images by the hashes of their contents, append-only,
                     shared by all snapshots
    tokens/DIGEST-T/DIGEST/   tokens of the captions of a snapshot under one tokenizer
    vectors/DIGEST/  vectors of posts by the encoder that gave them, see `kept_vectors`
    views/DIGEST/    the assignment of pixels to posts, opened by `open_post_inputs`

Posts without image or without words are marked in their row.
"""

import json
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foundation.durable_files import whole_folder
from foundation.image_report import ImageReport
from training.errors import PostInputsUnusable
from training.inputs.row_file import RowFile

PIXELS_VERSION = 1
"""Version of `square_pixels`; increase it with each change, so that pixels are not mixed."""


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


def write_view(
    folder: Path,
    tokens: Path,
    pixels: RowFile,
    rows_P: NDArray[np.int32],
    hashes_P: NDArray[np.uint64],
    report: ImageReport,
) -> Path:
    """Write the folder that joins tokens and pixels; immutable, named by their digest."""
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


def load(path: Path) -> NDArray[Any]:
    """An array on disk, mapped read-only (an empty one cannot be mapped)."""
    array: NDArray[Any] = np.load(path, mmap_mode="r")
    return array
