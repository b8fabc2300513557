"""A head over pairs of users: maps `pair_input` of two vectors and counts to a logit.

Shapes: B pairs, C counts, D width of R, M networks, H hidden units each.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from featurestore.heads import Head, evaluate_pairs, pair_input
from training.evaluation.threads import one_thread

FloatArray = NDArray[np.float32]

Rows = Callable[[NDArray[np.int64]], FloatArray]
"""Inputs (B, I) of the examples with these numbers (B,)."""

NUM_NETWORKS = 4
NUM_HIDDEN = 32
NUM_EVALUATION_POINTS = 10
"""Number of validations, each after an epoch of at most MAX_STEPS steps."""

BATCH = 1024
MIN_BATCH = 64
MIN_STEPS = 64
"""With fewer examples batches are smaller, so that an epoch has enough steps."""

MAX_STEPS = 200
"""Bounds the time for many examples: a million take hardly longer than 200,000."""

MAX_MOMENTS = 100_000

BLOCK = 16_384
LEARNING_RATE = 5e-3
WEIGHT_DECAY = 1e-2


def pair_rows(
    R_ND: FloatArray,
    followers: NDArray[np.int64],
    followees: NDArray[np.int64],
    counts: FloatArray,
) -> Rows:
    """A function that computes rows of `pair_input` on demand; all rows would take gigabytes."""

    def rows(numbers: NDArray[np.int64]) -> FloatArray:
        return pair_input(R_ND[followers[numbers]], R_ND[followees[numbers]], counts[numbers])

    return rows


@one_thread()
def fit_head(
    rows: Rows,
    is_follow: NDArray[np.bool_],
    validate: Callable[[Head], float],
    *,
    seed: int,
) -> Head:
    """Train NUM_NETWORKS small networks at once and keep the evaluation point that `validate`
    scores highest.

    Concatenated, with outputs averaged, the networks are one network with one hidden layer, which
    serving evaluates.
    """
    mean, std = moments(rows, len(is_follow))
    networks = Networks(len(mean), torch.Generator().manual_seed(seed))
    spread = np.where(std > 0, std, 1)

    def standardised(numbers: NDArray[np.int64]) -> Tensor:
        return torch.from_numpy((rows(numbers) - mean) / spread)

    y = torch.from_numpy(is_follow.astype(np.float32))
    best, best_score = networks.head(mean, std), -np.inf
    for _ in networks.evaluation_points(standardised, y):
        head = networks.head(mean, std)
        score = validate(head)
        if score > best_score:
            best, best_score = head, score
    return best


class Networks:
    """M networks of H hidden units, computed as one layer: z_m = w_m . ReLU(W_m x + b_m) + c_m."""

    def __init__(self, width: int, generator: torch.Generator) -> None:
        wide = NUM_NETWORKS * NUM_HIDDEN
        self.generator = generator
        self.weight = drawn_within((wide, width), width, generator)
        self.bias = torch.zeros(wide, requires_grad=True)
        self.out = drawn_within((wide,), NUM_HIDDEN, generator)
        self.out_bias = torch.zeros(NUM_NETWORKS, requires_grad=True)

    def evaluation_points(
        self, x: Callable[[NDArray[np.int64]], Tensor], y: Tensor
    ) -> Iterator[None]:
        """Train under a one-cycle learning rate; yields at each of NUM_EVALUATION_POINTS."""
        batch = min(len(y), BATCH, max(MIN_BATCH, len(y) // MIN_STEPS))
        num_steps = min(len(y) // batch, MAX_STEPS)
        parameters = [self.weight, self.bias, self.out, self.out_bias]
        optimiser = torch.optim.AdamW(parameters, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        rates = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, LEARNING_RATE, total_steps=NUM_EVALUATION_POINTS * num_steps + 1
        )
        for _ in range(NUM_EVALUATION_POINTS):
            order = torch.randperm(len(y), generator=self.generator)
            for rows in order[: num_steps * batch].view(num_steps, batch):
                optimiser.zero_grad()
                self.loss(x(rows.numpy()), y[rows]).backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                rates.step()
            yield

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        """Binary cross entropy, summed over the networks, which are trained independently."""
        logits = self.logits(x)
        targets = y[:, None].expand_as(logits)
        entropy = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        return entropy.mean(0).sum()

    def logits(self, x: Tensor) -> Tensor:
        """Logits z (B, M)."""
        hidden = torch.relu(functional.linear(x, self.weight, self.bias)) * self.out
        return hidden.view(-1, NUM_NETWORKS, NUM_HIDDEN).sum(2) + self.out_bias

    def head(self, mean: FloatArray, std: FloatArray) -> Head:
        """The average of the networks as the head that serving evaluates."""

        def copied(tensor: Tensor) -> FloatArray:
            return np.asarray(tensor.detach().numpy(), np.float32).copy()

        out = copied(self.out / NUM_NETWORKS)[None, :]
        first = (copied(self.weight), copied(self.bias))
        return Head(
            mean=mean, std=std, layers=(first, (out, copied(self.out_bias.mean()).reshape(1)))
        )


def drawn_within(shape: tuple[int, ...], width: int, generator: torch.Generator) -> Tensor:
    """Parameters drawn uniformly within 1 / sqrt(width) of zero."""
    drawn = torch.rand(shape, generator=generator) * 2 - 1
    return (drawn / width**0.5).requires_grad_()


def moments(rows: Rows, num: int) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation of each input, 0 where it hardly varies.

    Of more than MAX_MOMENTS examples only every second, third, … is used.
    """
    numbers = np.arange(0, num, -(-num // MAX_MOMENTS))
    mean = sum(each.sum(axis=0, dtype=np.float64) for each in blocks(rows, numbers)) / len(numbers)
    squares = (np.square(each - mean).sum(axis=0) for each in blocks(rows, numbers))
    std = np.asarray(np.sqrt(sum(squares) / len(numbers)))
    std[std < 1e-6 * (1 + np.abs(mean))] = 0
    return mean.astype(np.float32), std.astype(np.float32)


def blocks(rows: Rows, numbers: NDArray[np.int64]) -> Iterator[FloatArray]:
    """These rows, BLOCK at a time."""
    for start in range(0, len(numbers), BLOCK):
        yield rows(numbers[start : start + BLOCK])


def score_pairs(
    head: Head,
    R_ND: FloatArray,
    followers: NDArray[np.int64],
    followees: NDArray[np.int64],
    counts: FloatArray,
) -> FloatArray:
    """The head's scores (Q,) of pairs, a block at a time."""
    scores = np.empty(len(followers), np.float32)
    for start in range(0, len(followers), BLOCK):
        rows = slice(start, start + BLOCK)
        ends = R_ND[followers[rows]], R_ND[followees[rows]]
        scores[rows] = evaluate_pairs(head, *ends, counts[rows])[:, 0]
    return scores


def widened(head: Head, width: int) -> Head:
    """A head over counts alone as one over R_u, R_v (width D) and counts that ignores R."""
    (weight, bias), *rest = head.layers
    nothing = np.zeros(3 * width, np.float32)
    weight = np.concatenate([np.zeros((len(weight), 3 * width), np.float32), weight], axis=1)
    return Head(
        mean=np.concatenate([nothing, head.mean]),
        std=np.concatenate([nothing, head.std]),
        layers=((weight, bias), *rest),
    )
