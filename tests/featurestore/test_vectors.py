"""Functions of vectors: the representation, heads in numpy, and the gate's soundness."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from featurestore.errors import ArtifactCorrupt
from featurestore.generations.soundness import sound
from featurestore.heads import (
    Head,
    evaluate,
    evaluate_pairs,
    load_head,
    pair_input,
    save_head,
    user_input,
)
from featurestore.representation import fit_scales, representation


def normal(*shape: int, seed: int = 0, scale: float = 1.0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(scale=scale, size=shape).astype(np.float32)


def test_a_representation_is_its_scaled_parts_in_order() -> None:
    graph, image, text = normal(5, 2), normal(5, 3), normal(5, 4)
    scales = {"text": 0.5, "graph": 2.0, "image": 0.0}
    found = representation(graph, image, text, scales)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[:, :2], graph * 2)
    np.testing.assert_array_equal(found[:, 2:5], 0)
    np.testing.assert_array_equal(found[:, 5:], text * np.float32(0.5))


def test_fitted_scales_give_each_part_the_same_energy() -> None:
    parts = normal(50, 2, scale=100), normal(50, 3, scale=0.01), np.zeros((50, 4), np.float32)
    scales = fit_scales(*parts)
    norms = [
        np.square(part * scales[name]).sum(1).mean()
        for name, part in zip(("graph", "image", "text"), parts, strict=True)
    ]
    np.testing.assert_allclose(norms, [1, 1, 0], rtol=1e-5)


@pytest.mark.parametrize("widths", [(3, 1), (8, 5, 2), (16, 32, 32, 7)])
def test_a_head_is_what_torch_computes(widths: tuple[int, ...], tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    modules: list[Any] = []
    for width, next_width in pairwise(widths):
        modules += [torch.nn.Linear(width, next_width), torch.nn.ReLU()]
    network = torch.nn.Sequential(*modules[:-1])
    inputs, mean, std = normal(20, widths[0]), normal(widths[0], seed=1), normal(widths[0], seed=2)
    std = np.abs(std) + np.float32(0.5)
    layers = tuple(
        (each.weight.detach().numpy(), each.bias.detach().numpy()) for each in network[::2]
    )
    save_head(Head(mean=mean, std=std, layers=layers), tmp_path / "head.safetensors")
    expected = network(torch.from_numpy((inputs - mean) / std)).detach().numpy()
    found = evaluate(load_head(tmp_path / "head.safetensors"), user_input(inputs))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_constant_feature_is_only_centred() -> None:
    head = Head(
        mean=np.array([5.0, 0.0], np.float32),
        std=np.array([0.0, 2.0], np.float32),
        layers=((np.ones((1, 2), np.float32), np.zeros(1, np.float32)),),
    )
    assert evaluate(head, np.array([[5.0, 4.0]], np.float32)).tolist() == [[2.0]]


def test_a_pair_is_both_ends_their_product_and_counts() -> None:
    u, v = normal(4, 3), normal(4, 3, seed=1)
    counts = np.array([[0.0, 1.0]] * 4, np.float32)
    found = pair_input(u, v, counts)
    np.testing.assert_array_equal(found[:, :9], np.concatenate([u, v, u * v], axis=1))
    np.testing.assert_allclose(found[:, 9:], np.log1p(counts))
    assert found.dtype == np.float32


def linear_head(width: int) -> Head:
    return Head(
        mean=np.zeros(width, np.float32),
        std=np.ones(width, np.float32),
        layers=((np.arange(1, width + 1, dtype=np.float32)[None], np.zeros(1, np.float32)),),
    )


def test_a_head_of_pairs_is_evaluated_in_the_form_that_it_was_published_in() -> None:
    u, v = normal(4, 3), normal(4, 3, seed=1)
    counts = np.array([[0.0, 1.0]] * 4, np.float32)
    found = evaluate_pairs(linear_head(11), u, v, counts)
    np.testing.assert_array_equal(found, evaluate(linear_head(11), pair_input(u, v, counts)))
    product = np.concatenate([u * v, np.log1p(counts)], axis=1)
    found = evaluate_pairs(linear_head(5), u, v, counts)
    np.testing.assert_array_equal(found, evaluate(linear_head(5), product))
    with pytest.raises(ArtifactCorrupt, match=r"reads 7 numbers of a pair.* width 3 with 2 counts"):
        evaluate_pairs(linear_head(7), u, v, counts)


def test_a_file_that_is_no_head_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "head.safetensors").write_bytes(b"no")
    with pytest.raises(ArtifactCorrupt, match="is not a head"):
        load_head(tmp_path / "head.safetensors")


def test_spread_out_vectors_are_sound() -> None:
    verdict = sound({"graph": normal(200, 16), "text": normal(200, 8) + 10}, 200)
    assert (verdict.ok, verdict.reasons) == (True, ())
    assert verdict.effective_rank["graph"] > 12


@given(num_users=st.integers(2, 50), width=st.integers(1, 8), seed=st.integers(0, 9))
def test_equal_vectors_have_collapsed(num_users: int, width: int, seed: int) -> None:
    point = np.tile(normal(1, width, seed=seed), (num_users, 1))
    noisy = point * (1 + 1e-4 * normal(num_users, width, seed=seed + 1))
    for matrix in (point, noisy, np.zeros_like(point)):
        verdict = sound({"graph": matrix}, num_users)
        assert not verdict.ok
        assert "collapsed to a point" in verdict.reasons[0]


def test_vectors_on_a_line_have_collapsed() -> None:
    line = normal(100, 1) * normal(1, 16, seed=1)
    assert sound({"graph": line}, 100).reasons == (
        "graph: vectors have collapsed to a line (effective rank 1.00)",
    )


def test_only_users_that_have_a_modality_can_collapse_it() -> None:
    image = np.ones((100, 8), np.float32)
    has = np.arange(100) < 40
    image[has] = normal(40, 8)
    assert sound({"image": image}, 100, has={"image": has}).ok
    assert sound({"image": np.ones((100, 8))}, 100, has={"image": np.zeros(100, bool)}).ok
    assert not sound({"image": np.ones((100, 8))}, 100, has={"image": has}).ok


def test_missing_users_and_numbers_are_not_sound() -> None:
    broken = normal(10, 4)
    broken[3, 2], broken[7, 0] = np.nan, np.inf
    verdict = sound({"graph": broken, "text": normal(9, 4)}, 10)
    assert verdict.reasons == (
        "graph: vectors of 2 users are not finite",
        "text: 9 of 10 users have a vector",
    )


def test_a_user_has_to_have_one_vector_that_is_not_zero() -> None:
    graph, text, has = normal(40, 4), normal(40, 3), {"text": np.arange(40) >= 20}
    text[:20] = 0
    assert sound({"graph": graph, "text": text}, 40, has=has).ok
    graph[:5] = 0
    verdict = sound({"graph": graph, "text": text}, 40, has=has)
    assert verdict.reasons == ("5 users have zero vectors only",)
