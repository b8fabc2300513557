import os
import signal
import socket
import sqlite3
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image

from graphdb.image_reference import image_in
from tests.training.pictures import opened, picture
from training.errors import PostInputsUnusable
from training.inputs.image_decoding import ImageLimits
from training.inputs.image_sources import ImageSources
from training.inputs.image_store import MAX_TRIES, open_image_store

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
        report, again = catch_up(store, media, names[:6] + names[:6])
        assert report.num_read == 0
        assert again == kept[:6] * 2


def replaced(path, content):
    """A file of the same name with other bytes and a later time."""
    modified = path.stat().st_mtime_ns if path.exists() else 0
    path.write_bytes(content)
    os.utime(path, ns=(modified + 10**9,) * 2)


def test_a_file_that_has_changed_is_read_again(tmp_path, media):
    with open_image_store(tmp_path / "store") as store:
        _, (first, other) = catch_up(store, media, ["1.jpg", "2.jpg"])
        replaced(media / "1.jpg", picture(seed=50))
        report, (second, same) = catch_up(store, media, ["1.jpg", "2.jpg"])
        assert report.num_read == 1
        assert same == other
        assert second.content_hash != first.content_hash
        assert catch_up(store, media, ["1.jpg", "2.jpg"])[0].num_read == 0


def test_a_half_copied_file_is_read_again_when_it_is_whole(tmp_path, media):
    whole = picture(200, 200, seed=60)
    (media / "a.jpg").write_bytes(whole[: len(whole) // 2])
    with open_image_store(tmp_path / "store") as store:
        assert catch_up(store, media, ["a.jpg"])[0].missing == {"not a readable image": 1}
        replaced(media / "a.jpg", whole)
        report, kept = catch_up(store, media, ["a.jpg"])
        assert (report.num_ok, report.missing) == (1, {})
        assert kept[0] is not None


def test_broken_bytes_are_tried_a_few_times(tmp_path, media):
    with open_image_store(tmp_path / "store") as store:
        tries = [catch_up(store, media, ["broken.jpg"])[0].num_read for _ in range(7)]
        assert tries == [1] * MAX_TRIES + [0] * (7 - MAX_TRIES)
        replaced(media / "broken.jpg", b"still not a picture")
        assert catch_up(store, media, ["broken.jpg"])[0].num_read == 1
        assert store.catch_up(["broken.jpg"], ImageSources(media_root=media), LIMITS, retry=True)


def test_what_was_read_once_stays_when_its_file_goes_or_breaks(tmp_path, media):
    names = ["1.jpg", "2.jpg"]
    with open_image_store(tmp_path / "store") as store:
        _, kept = catch_up(store, media, names)
        (media / "1.jpg").unlink()
        replaced(media / "2.jpg", b"half a pic")
        report, again = catch_up(store, media, names)
        assert again == kept
        assert (report.num_ok, report.stale) == (2, {"not a readable image": 1})
        report, again = catch_up(store, media.parent / "gone", names)
        assert again == kept
        replaced(media / "2.jpg", picture(seed=70))
        report, (_, second) = catch_up(store, media, names)
        assert (report.num_ok, report.stale) == (2, {})
        assert second.content_hash != kept[1].content_hash


def test_all_are_read_again_where_that_is_asked_for(tmp_path, media):
    names = ["1.jpg", "2.jpg", "broken.jpg"]
    with open_image_store(tmp_path / "store") as store:
        _, kept = catch_up(store, media, names)
        (media / "1.jpg").unlink()
        sources = ImageSources(media_root=media)
        assert store.catch_up(names, sources, LIMITS, retry=True) == 3
        report = store.report(names, sources, num_read=3)
        assert report.stale == {"file not found": 1}
        assert store.kept(names, sources) == kept


def test_a_file_that_changes_while_it_is_read_is_read_again(tmp_path, media):
    class Slow(ImageSources):
        def read(self, image):
            content = super().read(image)
            replaced(media / image, picture(seed=80))
            return content

    with open_image_store(tmp_path / "store") as store:
        sources = Slow(media_root=media)
        store.catch_up(["1.jpg"], sources, LIMITS)
        report = store.report(["1.jpg"], sources, num_read=1)
        assert report.pending == {"changed while it was read": 1}
        assert catch_up(store, media, ["1.jpg"])[0].num_ok == 1


def test_a_picture_of_another_folder_does_not_replace_one_that_is_gone(tmp_path, media):
    own, other = tmp_path / "own", tmp_path / "other"
    for number, folder in enumerate((own, other)):
        folder.mkdir()
        (folder / "a.jpg").write_bytes(picture(seed=90 + number))
    image = image_in(str(own), "a.jpg")
    with open_image_store(tmp_path / "store") as store:
        _, first = catch_up(store, other, [image])
        (own / "a.jpg").unlink()
        report, again = catch_up(store, other, [image])
        assert again == first
        assert report.num_read == 0


def test_decoding_of_all_readers_stays_within_the_memory_that_it_may_take(tmp_path):
    for number in range(4):
        Image.new("RGBA", (2000, 1500), (number, 90, 90, 200)).save(tmp_path / f"{number}.png")
    child = subprocess.run(
        [sys.executable, "-c", DECODING, str(tmp_path)],
        cwd=Path(__file__).parents[3],
        stdout=subprocess.PIPE,
        check=True,
    )
    assert 20_000_000 <= int(child.stdout) <= 50_000_000


DECODING = """
import sys
from pathlib import Path
from PIL import Image
from training.inputs.image_decoding import ImageLimits
from training.inputs.image_sources import ImageSources
from training.inputs.image_store import open_image_store

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))

folder = Path(sys.argv[1])
names = [f"{number}.png" for number in range(4)]
Image.init()
with open_image_store(folder / "store") as store:
    limits, sources = ImageLimits(max_decoding_bytes=40_000_000), ImageSources(media_root=folder)
    before = peak()
    store.catch_up(names, sources, limits)
    assert store.report(names, sources, num_read=4).num_ok == 4
    print(peak() - before)
"""


def test_equal_images_are_one_content(tmp_path, media):
    with open_image_store(tmp_path / "store") as store:
        _, (first, copy, other) = catch_up(store, media, ["1.jpg", "copy of 1.jpg", "2.jpg"])
        assert first == copy
        assert first.content_id != other.content_id
        assert first.content_hash != other.content_hash != 0
        jpegs = list(store.jpegs([other.content_id, first.content_id]))
        assert [opened(jpeg).size for jpeg in jpegs] == [(32, 24)] * 2
        assert jpegs[0] != jpegs[1]


def silent():
    """The address of a server that is not there, and sources that may ask it."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}/a.jpg"
    allowed = {"schemes": frozenset({"http"}), "is_allowed": lambda address: True}
    return address, allowed


def test_a_server_that_does_not_answer_is_asked_again_later_and_later(tmp_path, media):
    address, allowed = silent()
    with open_image_store(tmp_path / "store") as store:
        tries = [
            now
            for now in range(0, 30_000, 60)
            if catch_up(store, media, [address], now=now, **allowed)[0].num_read
        ]
        assert tries[0] == 0
        gaps = [after - before for before, after in pairwise(tries)]
        assert gaps == [60, 240, 960, 3840, 15360]
        report, _ = catch_up(store, media, [address], now=30_000, **allowed)
        assert report.pending == {"no answer": 1}


def test_a_file_that_is_not_there_yet_is_read_as_soon_as_it_is(tmp_path, media):
    with open_image_store(tmp_path / "store") as store:
        for _ in range(3):
            report, _ = catch_up(store, media, ["a"])
            assert report.pending == {"file not found": 1}
        (media / "a").write_bytes(picture())
        report, kept = catch_up(store, media, ["a"])
        assert report.num_ok == 1
        assert kept[0] is not None


def test_back_off_never_exceeds_a_day(tmp_path, media):
    address, allowed = silent()
    with open_image_store(tmp_path / "store") as store:
        for day in range(15):
            report, _ = catch_up(store, media, [address], now=day * 86_400.0, **allowed)
            assert report.num_read == 1


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
