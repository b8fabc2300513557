import dataclasses

import numpy as np
import pytest

from graphdb.folds import HELD_OUT_FOLDS
from tests.training.small_network import small_config, small_data, small_network
from training.encoding.all_users import UserVectors, encode_users
from training.mmga.config import RunConfig
from training.mmga.trainer import initial_model
from training.mmga.training_data import TrainingData, training_data
from training.mmga.user_vectors import Chunks
from training.sampling.snapshot_source import SnapshotSource

PARTS = ("graph", "image", "text", "has_image", "has_text")


def encode(config: RunConfig, data: TrainingData, **options: object) -> UserVectors:
    model = initial_model(config, data, 0)
    return encode_users(model, data, options.pop("source", data.source), salt=b"g1", **options)


def same(first: UserVectors, second: UserVectors, atol: float = 0.0) -> None:
    for part in PARTS:
        np.testing.assert_allclose(getattr(first, part), getattr(second, part), atol=atol, rtol=0)


def test_every_user_has_vectors_of_the_configured_widths() -> None:
    config = small_config()
    vectors = encode(config, small_data(config))
    assert vectors.graph.shape == (60, config.graph.width)
    assert vectors.image.shape == (60, config.image.width)
    assert vectors.text.shape == (60, config.text.width)
    assert np.flatnonzero(~vectors.has_image).tolist() == [5, 15, 25, 35, 45, 55]
    assert np.flatnonzero(~vectors.has_text).tolist() == [7, 27, 47]
    assert not vectors.image[~vectors.has_image].any()
    assert not vectors.text[~vectors.has_text].any()
    assert np.isfinite(vectors.graph).all()


def test_users_without_posts_are_encoded_too() -> None:
    config = small_config()
    snapshot, inputs = small_network()
    indptr = snapshot.post_indptr.copy()
    indptr[8:11] = indptr[8]  # users 8 and 9 have no post
    data = training_data(
        dataclasses.replace(snapshot, post_indptr=indptr), inputs, config.graph.edges
    )
    vectors = encode(config, data)
    assert vectors.has_text.tolist() == [user not in (7, 8, 9, 27, 47) for user in range(60)]
    assert not vectors.text[8:10].any()
    assert np.isfinite(vectors.graph).all()
    assert vectors.graph[8:10].any()


@pytest.mark.parametrize("edges", ["mutual", "follows"])
def test_small_chunks_give_the_same_vectors(edges: str) -> None:
    config = small_config(edges=edges)
    data = small_data(config)
    chunks = Chunks(num_users=11, num_posts=7, num_seeds=5)
    same(encode(config, data), encode(config, data, chunks=chunks), atol=2e-5)


def test_a_held_out_follow_changes_no_vector_and_a_training_follow_does() -> None:
    config = small_config(fan_outs=(60, 60))
    snapshot, inputs = small_network()
    whole = encode(config, training_data(snapshot, inputs, "mutual"))
    for folds, equal in ((HELD_OUT_FOLDS, True), (range(20, 50), False)):
        fewer = dataclasses.replace(snapshot, graph=snapshot.graph.without_folds(folds))
        vectors = encode(config, training_data(fewer, inputs, "mutual"))
        assert np.array_equal(vectors.graph, whole.graph) is equal


def test_publishing_reads_every_follow() -> None:
    config = small_config(fan_outs=(60, 60))
    snapshot, inputs = small_network()
    data = training_data(snapshot, inputs, "mutual")
    whole = SnapshotSource(snapshot, config.graph.edges, without_folds=())
    published = encode(config, data, source=whole)
    assert not np.array_equal(published.graph, encode(config, data).graph)
    assert np.array_equal(published.text, encode(config, data).text)


def test_the_salt_decides_which_neighbours_stand_for_many() -> None:
    config = small_config(fan_outs=(3, 3))
    data = small_data(config)
    model = initial_model(config, data, 0)
    first, again, other = (
        encode_users(model, data, data.source, salt=salt).graph for salt in (b"a", b"a", b"b")
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_only_the_newest_posts_count() -> None:
    config = small_config()
    config = dataclasses.replace(
        config, phases=dataclasses.replace(config.phases, num_inference_posts=2)
    )
    snapshot, inputs = small_network()
    older = inputs.tokens.copy()
    older[3::4, 1:9] = 6  # the oldest of each user's four posts
    vectors = encode(config, training_data(snapshot, inputs, "mutual"))
    changed = encode(
        config, training_data(snapshot, dataclasses.replace(inputs, tokens=older), "mutual")
    )
    assert np.array_equal(vectors.text, changed.text)
