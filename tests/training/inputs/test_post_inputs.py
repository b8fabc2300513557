import os
import pickle
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from foundation.image_report import read_image_report
from graphdb.facts import Batch, Position, PostDeletion
from graphdb.image_reference import image_in
from graphdb.snapshot.snapshot import take_snapshot
from tests.graphdb.made_facts import post, profile
from tests.graphdb.oracle import GraphOracle, Memory
from tests.training.pictures import picture
from training.errors import PostInputsUnusable
from training.inputs.captions import pin_texts
from training.inputs.post_inputs import open_post_inputs
from training.inputs.preparation import prepare_post_inputs
from training.networks.tokenizer import train_tokenizer
from training.settings import TrainingSettings

CAPTIONS = {
    "p0": "a calm lake at sunrise",
    "p1": "   ",
    "p2": "pasta and more pasta",
    "p3": "a calm lake at sunrise",
    "p4": "goal " * 50,
    "p5": "🎉",
}
IMAGES = {"p0": "0.jpg", "p2": "2.jpg", "p3": "copy.jpg", "p4": "broken.jpg", "p5": "gone.jpg"}
SIZES = {"image_size": 16, "max_tokens": 12}


@pytest.fixture
def settings(tmp_path):
    media = tmp_path / "media"
    media.mkdir()
    (media / "0.jpg").write_bytes(picture(seed=0))
    (media / "2.jpg").write_bytes(picture(seed=2))
    (media / "copy.jpg").write_bytes(picture(seed=0))
    (media / "broken.jpg").write_bytes(b"?")
    return TrainingSettings(home=tmp_path / "home", media_root=media)


def made_store():
    posts = [
        post(post_id, author, 10, caption=caption, image=IMAGES.get(post_id))
        for author, (post_id, caption) in zip(
            ["ann", "ann", "ann", "bob", "bob", "bob"], CAPTIONS.items(), strict=True
        )
    ]
    oracle = GraphOracle(Memory(graph_id="g1"))
    oracle.apply(Batch(profiles=[profile("ann", 1), profile("bob", 1)], posts=posts))
    return oracle


@pytest.fixture
def store():
    return made_store()


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(sorted(CAPTIONS.values()), vocabulary_size=60)


def prepare(store, settings, tokenizer, **options):
    snapshot = take_snapshot(store, settings.home / "snapshots")
    texts = pin_texts(store, snapshot)
    inputs = prepare_post_inputs(texts, settings, tokenizer, **SIZES | options)
    return {post_id: row for row, post_id in enumerate(snapshot.post_ids)}, inputs


def test_rows_follow_the_snapshot_and_say_what_is_missing(store, settings, tokenizer):
    row, inputs = prepare(store, settings, tokenizer)
    assert inputs.num_posts == 6
    assert inputs.tokens.shape == (6, 12)
    assert inputs.tokens.dtype == np.int32
    assert isinstance(inputs.tokens, np.memmap)
    words = tokenizer(CAPTIONS["p2"])["input_ids"]
    assert inputs.tokens[row["p2"]].tolist() == words + [0] * (12 - len(words))
    assert inputs.token_counts[row["p2"]] == len(words)
    assert inputs.token_counts[row["p4"]] == 12
    assert inputs.tokens[row["p4"]][-1] == tokenizer.sep_token_id
    assert inputs.has_text.tolist() == [post_id != "p1" for post_id in row]
    assert inputs.has_image.tolist() == [post_id in ("p0", "p2", "p3") for post_id in row]
    assert ((inputs.image_hashes != 0) == inputs.has_image).all()


def test_equal_posts_have_equal_hashes_and_share_their_pixels(store, settings, tokenizer):
    row, inputs = prepare(store, settings, tokenizer)
    assert inputs.caption_hashes[row["p0"]] == inputs.caption_hashes[row["p3"]]
    assert inputs.image_hashes[row["p0"]] == inputs.image_hashes[row["p3"]]
    assert inputs.pixel_rows[row["p0"]] == inputs.pixel_rows[row["p3"]]
    assert inputs.caption_hashes[row["p0"]] != inputs.caption_hashes[row["p2"]]
    assert inputs.image_hashes[row["p0"]] != inputs.image_hashes[row["p2"]]
    assert inputs.pixels.shape == (2, 3, 16, 16)
    assert inputs.pixels.dtype == np.uint8


def test_each_image_is_counted(store, settings, tokenizer):
    _, inputs = prepare(store, settings, tokenizer)
    assert inputs.images.num_ok == 3
    assert inputs.images.missing == {"not a readable image": 1}
    assert inputs.images.pending == {"file not found": 1}
    assert inputs.images.num_read == 5


def test_a_second_run_reads_decodes_and_tokenises_nothing(store, settings, tokenizer, monkeypatch):
    decoded, resized, tokenised = [], [], []
    monkeypatch.setattr(
        "training.inputs.image_store.bounded_jpeg", counting("bounded_jpeg", decoded)
    )
    monkeypatch.setattr(
        "training.inputs.preparation.square_pixels", counting("square_pixels", resized)
    )
    monkeypatch.setattr(type(tokenizer), "__call__", counting_call(type(tokenizer), tokenised))
    (settings.media_root / "broken.jpg").unlink()
    _, first = prepare(store, settings, tokenizer)
    assert (len(decoded), len(resized), len(tokenised)) == (3, 2, 1)
    _, second = prepare(store, settings, tokenizer)
    assert (len(decoded), len(resized), len(tokenised)) == (3, 2, 1)
    assert second.path == first.path
    assert_equal(first, second)


def counting(name, calls):
    import training.inputs.image_decoding

    real = getattr(training.inputs.image_decoding, name)
    return lambda *arguments: calls.append(arguments) or real(*arguments)


def counting_call(kind, calls):
    real = kind.__call__
    return lambda self, *args, **options: calls.append(args) or real(self, *args, **options)


def assert_equal(first, second):
    for name in (
        "tokens",
        "token_counts",
        "caption_hashes",
        "pixel_rows",
        "pixels",
        "image_hashes",
    ):
        assert np.array_equal(getattr(first, name), getattr(second, name)), name


def test_a_new_version_reads_only_what_is_new(store, settings, tokenizer):
    _, first = prepare(store, settings, tokenizer)
    (settings.media_root / "new.jpg").write_bytes(picture(seed=7))
    store.apply(Batch(posts=[post("p9", "ann", 90, caption="new pasta", image="new.jpg")]))
    row, second = prepare(store, settings, tokenizer)
    assert second.images.num_read == 3  # with the broken one and the one that is gone
    assert second.num_posts == 7
    assert second.pixels.shape == (3, 3, 16, 16)
    assert second.has_image[row["p9"]]
    assert first.pixels.shape == (2, 3, 16, 16)


def test_a_post_deleted_since_the_snapshot_is_empty(store, settings, tokenizer):
    snapshot = take_snapshot(store, settings.home / "snapshots")
    store.apply(Batch(post_deletions=[PostDeletion(post_id="p0", time=99)]))
    row = list(snapshot.post_ids).index("p0")
    inputs = prepare_post_inputs(pin_texts(store, snapshot), settings, tokenizer, **SIZES)
    assert not inputs.has_text[row]
    assert not inputs.has_image[row]


def test_inputs_are_opened_again_by_their_path(store, settings, tokenizer):
    _, inputs = prepare(store, settings, tokenizer)
    opened = open_post_inputs(pickle.loads(pickle.dumps(inputs.path)))
    assert_equal(inputs, opened)
    assert opened.images == replace(inputs.images, num_read=0)
    assert opened.pad_token_id == 0


def test_what_is_gone_is_one_error(settings):
    with pytest.raises(PostInputsUnusable, match="prepare them again"):
        open_post_inputs(settings.home / "post_inputs" / "views" / "none")


def test_each_path_is_read_in_the_folder_that_named_it(settings, tokenizer, tmp_path):
    store = GraphOracle(Memory(graph_id="g1"))
    for seed, name in enumerate("ab"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.jpg").write_bytes(picture(seed=seed))
        image = image_in(str(tmp_path / name), "1.jpg")
        store.apply(Batch(posts=[post(name, "ann", 1, caption="x", image=image)]))
    row, inputs = prepare(store, replace(settings, media_root=None), tokenizer)
    assert inputs.images.num_ok == 2
    assert inputs.image_hashes[row["a"]] != inputs.image_hashes[row["b"]]
    shutil.rmtree(tmp_path / "a")
    _, again = prepare(store, replace(settings, media_root=None), tokenizer)
    assert_equal(inputs, again)


def test_a_folder_that_moved_is_known_by_the_file_that_was_ingested_again(
    settings, tokenizer, tmp_path
):
    old, new = tmp_path / "old", tmp_path / "new"
    new.mkdir()
    for name, content in (("1.jpg", picture()), ("events.jsonl", b"{}")):
        (new / name).write_bytes(content)
    store = GraphOracle(Memory(graph_id="g1"))
    image = image_in(str(old), "1.jpg")
    store.apply(Batch(posts=[post("p", "ann", 1, caption="x", image=image)]))
    positions = [
        Position(source=f"{folder}/events.jsonl", partition=0, offset=2, fingerprint="2:ab")
        for folder in (old, new)
    ]
    settings = replace(settings, media_root=None)
    texts = pin_texts(store, take_snapshot(store, settings.home / "snapshots"))
    lost = prepare_post_inputs(texts, settings, tokenizer, **SIZES)
    assert lost.images.pending == {"folder not found": 1}
    found = prepare_post_inputs(texts, settings, tokenizer, positions=positions, **SIZES)
    assert found.images.num_ok == 1


def test_pixels_are_those_of_the_content_when_the_images_are_read_anew(store, settings, tokenizer):
    row, first = prepare(store, settings, tokenizer)
    shutil.rmtree(settings.home / "post_inputs" / "images")
    (settings.media_root / "0.jpg").write_bytes(picture(seed=40))
    _, second = prepare(store, settings, tokenizer)

    def pixels(inputs, post_id):
        return inputs.pixels[inputs.pixel_rows[row[post_id]]]

    assert np.array_equal(pixels(first, "p2"), pixels(second, "p2"))
    assert np.array_equal(pixels(first, "p3"), pixels(second, "p3"))
    assert not np.array_equal(pixels(first, "p0"), pixels(second, "p0"))


def test_the_outcomes_are_kept_for_the_next_run_and_for_the_status(store, settings, tokenizer):
    _, inputs = prepare(store, settings, tokenizer)
    assert read_image_report(settings.home, "g1") == inputs.images
    assert read_image_report(settings.home, "g2") is None
    assert str(inputs.images) == (
        "3 ok, 1 missing (not a readable image: 1), 1 pending (file not found: 1)"
    )


def test_without_posts_or_images_there_are_empty_arrays(settings, tokenizer):
    store = GraphOracle()
    store.apply(Batch(profiles=[profile("ann", 1)]))
    _, inputs = prepare(store, settings, tokenizer)
    assert inputs.tokens.shape == (0, 12)
    assert inputs.pixels.shape == (0, 3, 16, 16)


def test_old_tokens_and_their_views_are_dropped(store, settings):
    for number in range(8):
        tokenizer = train_tokenizer([f"words {chr(97 + number) * 3}"], vocabulary_size=60)
        _, inputs = prepare(store, settings, tokenizer)
    folder = settings.home / "post_inputs"
    assert len(list((folder / "tokens").glob("*/*"))) == 4
    assert len(list((folder / "views").iterdir())) == 4
    assert_equal(inputs, open_post_inputs(inputs.path))


def killed_at(moment, work):
    """Run `work` in a child that dies by SIGKILL before its n-th durable step; whether it did."""
    child = os.fork()
    if child == 0:
        steps = iter(range(1, 1000))

        def counted(real):
            def call(*arguments, **options):
                if next(steps) == moment:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*arguments, **options)

            return call

        os.fsync, Path.rename = counted(os.fsync), counted(Path.rename)
        work()
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert status in (0, signal.SIGKILL)
    return status == signal.SIGKILL


def test_killed_at_any_durable_step_it_ends_as_if_undisturbed(store, settings, tokenizer, tmp_path):
    _, undisturbed = prepare(store, settings, tokenizer)
    texts = pin_texts(store, take_snapshot(store, tmp_path / "snapshots"))
    home = tmp_path / "killed"

    def work():
        there = replace(settings, home=home)
        return prepare_post_inputs(texts, there, tokenizer, **SIZES)

    moment = 1
    while killed_at(moment, work):
        assert_equal(undisturbed, work())
        shutil.rmtree(home)
        moment += 1
    assert moment > 12
