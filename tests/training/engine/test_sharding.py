"""Two workers, and the batches of one step, draw different edges, seeds and posts."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.training.small_network import small_config, small_data, with_phases
from training.engine.sharding import Shard, shard_of
from training.mmga.batches import EncoderBatch, GraphBatch
from training.mmga.trainer import Trainer


def trainers(num_ranks: int, **phases: object) -> list[Trainer]:
    """The ranks of one run in one process: they draw alone and never speak to each other."""
    config = with_phases(small_config(edges="follows"), num_lm_posts=8, **phases)
    config = replace(config, compute=replace(config.compute, num_ahead=0))
    data = small_data(config, num_users=120)
    made = [Trainer(config, data, seed=0) for _ in range(num_ranks)]
    for rank, trainer in enumerate(made):
        trainer.rank, trainer.num_ranks = rank, num_ranks
    return made


def targets(batch: GraphBatch) -> set[tuple[int, int]]:
    users, hidden = batch.users.numpy(), batch.connected.numpy() > 0
    pairs = zip(users[batch.u.numpy()][hidden], users[batch.v.numpy()][hidden], strict=True)
    return {(int(u), int(v)) for u, v in pairs}


def contrast_seeds(batch: EncoderBatch) -> set[int]:
    assert batch.users is not None
    return set(batch.users.users[batch.users.sources].tolist())


def captions(batch: EncoderBatch) -> set[tuple[int, ...]]:
    return {tuple(row) for row in batch.posts.lm_tokens.tolist()}


def pictures(batch: EncoderBatch) -> set[int]:
    return set(batch.posts.image_hashes.tolist())


@pytest.mark.parametrize(("num_ranks", "num_microbatches"), [(2, 1), (1, 2), (2, 2)])
def test_no_edge_seed_or_post_is_drawn_twice_in_a_step(
    num_ranks: int, num_microbatches: int
) -> None:
    made = trainers(num_ranks, num_microbatches=num_microbatches, num_contrast_pairs=12)
    encoders, graph = 5, 8  # the first round's phases: A, then B
    parts = [(each, number) for each in made for number in range(num_microbatches)]
    steps = [trainer.draw(encoders, number)[0] for trainer, number in parts]
    for drawn in (contrast_seeds, captions, pictures):
        found = [drawn(batch) for batch in steps]
        assert all(found)
        assert len(set.union(*found)) == sum(len(each) for each in found), drawn.__name__
    edges = [targets(trainer.draw(graph, number)[0]) for trainer, number in parts]
    assert [len(each) for each in edges] == [64] * len(parts)
    assert len(set.union(*edges)) == 64 * len(parts)


def test_a_batch_of_a_share_is_the_same_whenever_it_is_drawn() -> None:
    made = trainers(2)
    first, again = (made[1].draw(8)[0] for _ in range(2))
    assert torch.equal(first.users, again.users)
    assert targets(first) != targets(made[1].draw(9)[0])


def test_parts_of_what_does_not_suffice_differ_by_one_at_most() -> None:
    def draw(count: int, rng: np.random.Generator) -> tuple[np.ndarray]:
        return (rng.permutation(7)[:count],)

    rng = np.random.default_rng(1)
    shares = [
        shard_of(0, 3, rank=rank, num_ranks=2, microbatch=0, num_microbatches=1)
        for rank in range(2)
    ]
    parts = [share.of(draw, 5, rng)[0] for share in shares]
    assert sorted(len(part) for part in parts) == [3, 4]
    assert sorted(np.concatenate(parts).tolist()) == list(range(7))
    alone = Shard(part=0, num_parts=1, rng=np.random.default_rng(9))
    assert len(alone.of(draw, 5, rng)[0]) == 5
