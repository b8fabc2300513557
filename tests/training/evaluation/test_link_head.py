import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from featurestore.heads import evaluate, load_head, pair_input, save_head
from graphdb.folds import HELD_OUT_FOLDS, folds_of_pairs
from graphdb.pair_counts import COUNT_NAMES, pair_counts
from tests.training.learnable_network import judged_network
from training.evaluation.link_head import (
    Networks,
    fit_head,
    moments,
    pair_rows,
    score_pairs,
    widened,
)
from training.evaluation.link_pairs import pair_universe
from training.evaluation.pair_examples import pair_examples, training_slices
from training.evaluation.truncated_svd import factors


@pytest.fixture(scope="module")
def snapshot():
    return judged_network().snapshot


@pytest.fixture(scope="module")
def examples(snapshot):
    universe = pair_universe(snapshot.graph, snapshot.user_ids, np.random.default_rng(0))
    return pair_examples(snapshot.graph, universe, np.random.default_rng(0))


def test_slices_are_the_training_folds_once_each():
    folds = [fold for folds in training_slices() for fold in folds]
    assert folds == list(range(15, 100))


def test_examples_are_of_training_folds_and_none_is_known_to_its_own_counts(snapshot, examples):
    training = snapshot.without_folds(HELD_OUT_FOLDS)
    is_known = training.followees.contains(examples.followers, examples.followees)
    assert (is_known == examples.is_follow).all()
    assert examples.is_follow.sum() == training.followees.num_edges
    row = int(np.flatnonzero(examples.is_follow)[3])
    pair = examples.followers[row : row + 1], examples.followees[row : row + 1]
    (fold,) = folds_of_pairs(snapshot.user_ids, *pair)
    (folds,) = (each for each in training_slices() if fold in each)
    hidden = snapshot.without_folds([*HELD_OUT_FOLDS, *folds])
    assert not hidden.followees.contains(*pair)[0]
    assert np.array_equal(pair_counts(hidden, *pair)[0], examples.counts[row])
    assert factors(hidden).products(*pair)[0] == examples.svd_products[row]


def test_a_held_out_follow_changes_no_example(snapshot, examples):
    """Examples of the graph without held-out follows, seen as negatives or not, are the same."""
    universe = pair_universe(snapshot.graph, snapshot.user_ids, np.random.default_rng(0))
    blind = pair_examples(
        snapshot.without_folds(HELD_OUT_FOLDS), universe, np.random.default_rng(0)
    )
    assert np.array_equal(blind.counts, examples.counts)
    assert np.array_equal(blind.followers, examples.followers)


def learnable(num=1500, seed=0):
    rng = np.random.default_rng(seed)
    inputs = rng.standard_normal((num, 6)).astype(np.float32) * [1, 10, 1, 1, 1, 0] + 5
    labels = np.abs(inputs[:, 0] - 5) + (inputs[:, 1] - 5) / 10 > 0.7
    return inputs.astype(np.float32), labels


def test_a_head_learns_and_is_what_torch_computed(tmp_path):
    inputs, labels = learnable()
    test_inputs, test_labels = learnable(seed=1)
    seen = []

    def choose(head):
        seen.append(roc_auc_score(test_labels, evaluate(head, test_inputs)[:, 0]))
        return seen[-1]

    head = fit_head(inputs.__getitem__, labels, choose, seed=0)
    assert choose(head) == max(seen) > 0.9
    save_head(head, tmp_path / "head.safetensors")
    loaded = load_head(tmp_path / "head.safetensors")
    assert np.array_equal(evaluate(loaded, test_inputs), evaluate(head, test_inputs))


def test_the_same_seed_gives_the_same_head():
    inputs, labels = learnable(500)
    first, again, other = (
        fit_head(inputs.__getitem__, labels, lambda head: 0.0, seed=seed) for seed in (3, 3, 4)
    )
    assert np.array_equal(first.layers[0][0], again.layers[0][0])
    assert not np.array_equal(first.layers[0][0], other.layers[0][0])


def test_networks_side_by_side_are_one_head():
    inputs, _ = learnable(50)
    mean, std = moments(inputs.__getitem__, len(inputs))
    networks = Networks(6, torch.Generator().manual_seed(0))
    head = networks.head(mean, std)
    x = torch.from_numpy((inputs - mean) / np.where(std > 0, std, 1))
    logits = networks.logits(x).mean(1).detach().numpy()
    assert np.allclose(evaluate(head, inputs)[:, 0], logits, atol=1e-5)


def test_fewer_examples_than_a_batch_are_enough():
    inputs, labels = learnable(30)
    assert fit_head(inputs.__getitem__, labels, lambda head: 0.0, seed=0).layers[1][0].shape[0] == 1


def test_a_widened_head_reads_counts_alone(examples):
    counts = examples.counts[:200]
    head = fit_head(
        np.log1p(counts).__getitem__, examples.is_follow[:200], lambda head: 0.0, seed=0
    )
    R = np.random.default_rng(0).standard_normal((200, 5)).astype(np.float32)
    inputs = pair_input(R, R[::-1], counts)
    assert np.allclose(
        evaluate(widened(head, 5), inputs), evaluate(head, np.log1p(counts)), atol=1e-6
    )


def test_blocks_of_pairs_are_scored_like_all_at_once(examples, monkeypatch):
    counts = examples.counts[:100]
    R = np.random.default_rng(0).standard_normal((140, 4)).astype(np.float32)
    u, v = examples.followers[:100], examples.followees[:100]
    inputs = pair_input(R[u], R[v], counts)
    assert inputs.shape == (100, 3 * 4 + len(COUNT_NAMES))
    rows = pair_rows(R, u, v, counts)
    assert np.array_equal(rows(np.arange(30, 50)), inputs[30:50])
    head = fit_head(rows, examples.is_follow[:100], lambda head: 0.0, seed=0)
    whole = evaluate(head, inputs)[:, 0]
    monkeypatch.setattr("training.evaluation.link_head.BLOCK", 7)
    assert np.allclose(score_pairs(head, R, u, v, counts), whole, atol=1e-6)


def test_many_examples_take_no_more_steps_than_a_few_hundred_thousand(monkeypatch):
    monkeypatch.setattr("training.evaluation.link_head.MAX_STEPS", 3)
    inputs, labels = learnable(1500)
    asked = []

    def rows(numbers):
        asked.append(len(numbers))
        return inputs[numbers]

    fit_head(rows, labels, lambda head: 0.0, seed=0)
    assert (
        asked[2:] == [64] * 30
    )  # ten evaluation_points of three batches, after mean and deviation
