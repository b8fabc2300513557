import os
import signal
import sqlite3
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from tests.training.pictures import opened, picture
from training.errors import PostInputsUnusable
from training.inputs.image_decoding import ImageLimits
from training.inputs.image_sources import ImageSources
from training.inputs.image_store import open_image_store

LIMITS = ImageLimits(kept_side=32)


@pytest.fixture
def media(tmp_path):
    folder = tmp_path / "media"
    folder.mkdir()
    for number in range(6):
        (folder / f"{number}.jpg").write_bytes(picture(seed=number))
    (folder / "copy of 1.jpg").write_bytes(picture(seed=1))
    (folder / "broken.jpg").write_bytes(b"not a picture")
    return folder


def catch_up(store, media, names, *, now=0.0, **options):
    sources = ImageSources(media_root=media, **options)
    num_read = store.catch_up(names, sources, LIMITS, now=now)
    return store.report(names, sources, num_read=num_read), store.kept(names, sources)


def test_each_image_is_read_once(tmp_path, media):
    names = [f"{number}.jpg" for number in range(6)] + ["broken.jpg"]
    with open_image_store(tmp_path / "store") as store:
        report, kept = catch_up(store, media, names + names)
        assert (report.num_read, report.num_ok) == (7, 6)
        assert report.missing == {"not a readable image": 1}
        assert kept[:7] == kept[7:]
        assert kept[6] is None
    with open_image_store(tmp_path / "store") as store:
        report, again = catch_up(store, media, names + names)
        assert report.num_read == 0
        assert again == kept


def test_equal_images_are_one_content(tmp_path, media):
    with open_image_store(tmp_path / "store") as store:
        _, (first, copy, other) = catch_up(store, media, ["1.jpg", "copy of 1.jpg", "2.jpg"])
        assert first == copy
        assert first.content_id != other.content_id
        assert first.content_hash != other.content_hash != 0
        jpegs = list(store.jpegs([other.content_id, first.content_id]))
        assert [opened(jpeg).size for jpeg in jpegs] == [(32, 24)] * 2
        assert jpegs[0] != jpegs[1]


def test_a_transient_failure_is_tried_again_later_and_later(tmp_path, media):
    with open_image_store(tmp_path / "store") as store:
        tries = [
            now
            for now in range(0, 30_000, 30)
            if catch_up(store, media, ["a"], now=now)[0].num_read
        ]
        assert tries[0] == 0
        gaps = [after - before for before, after in pairwise(tries)]
        assert gaps == [60, 240, 960, 3840, 15360]
        report, _ = catch_up(store, media, ["a"], now=1e6)
        assert report.pending == {"file not found": 1}
        (media / "a").write_bytes(picture())
        report, kept = catch_up(store, media, ["a"], now=2e6)
        assert report.num_ok == 1
        assert kept[0] is not None


def test_back_off_never_exceeds_a_day(tmp_path, media):
    with open_image_store(tmp_path / "store") as store:
        for day in range(40):
            assert catch_up(store, media, ["a"], now=day * 86_400.0)[0].num_read == 1


def test_a_refusal_is_final_until_the_settings_change(tmp_path, media):
    with open_image_store(tmp_path / "store") as store:
        for now in (0.0, 1e9):
            report, _ = catch_up(store, media, ["http://127.0.0.1:9/a.jpg"], now=now)
            assert report.missing == {"scheme not allowed": 1}
        assert report.num_read == 0
        allowed = frozenset({"http"})
        report, _ = catch_up(store, media, ["http://127.0.0.1:9/a.jpg"], schemes=allowed)
        assert report.num_read == 1
        assert report.missing == {"address not public": 1}


def test_another_media_root_is_another_image(tmp_path, media):
    other = tmp_path / "other"
    other.mkdir()
    (other / "1.jpg").write_bytes(picture(seed=99))
    with open_image_store(tmp_path / "store") as store:
        _, first = catch_up(store, media, ["1.jpg"])
        _, second = catch_up(store, other, ["1.jpg"])
        assert first != second


def test_progress_counts_to_the_end(tmp_path, media):
    names = [f"missing {number}" for number in range(150)]
    told = []
    with open_image_store(tmp_path / "store") as store:
        sources = ImageSources(media_root=media)
        store.catch_up(names, sources, LIMITS, progress=lambda *done: told.append(done))
    assert told == [(64, 150), (128, 150), (150, 150)]


CHILD = """
import os, signal, sys
from pathlib import Path
import training.inputs.image_store as image_store
from training.inputs.image_sources import ImageSources
from training.inputs.image_decoding import ImageLimits

folder, media, stop_at = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
image_store.COMMIT_EVERY = 2
real_fsync, synced = os.fsync, []

def fsync(descriptor):
    if stop_at == f"before flush {len(synced)}":
        os.kill(os.getpid(), signal.SIGKILL)
    synced.append(real_fsync(descriptor))
    if stop_at == f"after flush {len(synced) - 1}":
        os.kill(os.getpid(), signal.SIGKILL)

os.fsync = fsync
with image_store.open_image_store(folder) as store:
    names = [f"{number}.jpg" for number in range(6)]
    store.catch_up(names, ImageSources(media_root=media), ImageLimits(kept_side=32))
"""


@pytest.mark.parametrize(
    "moment", [f"{when} flush {n}" for when in ("before", "after") for n in (0, 1, 2)]
)
def test_killed_at_any_flush_it_ends_as_if_undisturbed(tmp_path, media, moment):
    names = [f"{number}.jpg" for number in range(6)]
    child = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path / "store"), str(media), moment],
        cwd=Path(__file__).parents[3],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
    )
    assert child.returncode == -signal.SIGKILL
    done_before = 2 * int(moment[-1])
    with open_image_store(tmp_path / "store") as store:
        report, kept = catch_up(store, media, names)
        assert (report.num_read, report.num_ok) == (6 - done_before, 6)
        jpegs = list(store.jpegs([image.content_id for image in kept]))
    with open_image_store(tmp_path / "undisturbed") as store:
        _, kept = catch_up(store, media, names)
        assert list(store.jpegs([image.content_id for image in kept])) == jpegs


def test_a_newer_format_is_refused(tmp_path):
    with open_image_store(tmp_path / "store"):
        pass
    connection = sqlite3.connect(tmp_path / "store" / "images.db")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(PostInputsUnusable, match="format 99"), open_image_store(tmp_path / "store"):
        pass


def test_a_damaged_index_is_one_error_with_a_remedy(tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "images.db").write_bytes(b"x" * 5000)
    with (
        pytest.raises(PostInputsUnusable, match="delete"),
        open_image_store(tmp_path / "store"),
    ):
        pass
