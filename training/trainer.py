"""One run's network, optimisers and bank, and what a step does to them.

A step is a function of this state and of random numbers that come from (seed, step, rank) alone,
so a run that resumes from a checkpoint repeats exactly what an undisturbed one does.
"""

from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from training.batches import (
    EncoderBatch,
    GraphBatch,
    PostPools,
    encoder_batch,
    graph_batch,
    post_batch,
    split_posts,
)
from training.config import RunConfig
from training.encoding import encode_modalities
from training.errors import NotFinite, NothingToTrain
from training.model import MMGA, build, weigh
from training.schedule import Stage, learning_rate_factor, num_steps, stage_of
from training.training_data import TrainingData
from training.user_bank import bank_of

HELD_OUT_POSTS = 0.05
NUM_HELD_OUT_BATCHES = 8


class Trainer:
    """The state of a run on one worker, of `num_ranks` that average their gradients."""

    def __init__(
        self, config: RunConfig, data: TrainingData, *, seed: int, rank: int = 0, num_ranks: int = 1
    ) -> None:
        self.config, self.data = config, data
        self.seed, self.rank, self.num_ranks = seed, rank, num_ranks
        self.posts, self.held_out = split_posts(data, held_out_share=HELD_OUT_POSTS)
        check_enough(data, self.posts)
        self.model = initial_model(config, data, seed)
        self.network: nn.Module = self.model
        if num_ranks > 1:
            self.network = nn.parallel.DistributedDataParallel(
                self.model, find_unused_parameters=True, broadcast_buffers=False
            )
        self.bank = bank_of(data, config)
        schedule = config.schedule
        self.optimisers = {
            "encoders": optimiser(
                self.model.encoder_parameters(),
                schedule.encoder_learning_rate,
                schedule.weight_decay,
            ),
            "graph": optimiser(
                self.model.graph_parameters(), schedule.graph_learning_rate, schedule.weight_decay
            ),
        }

    def step(self, number: int) -> dict[str, Tensor]:
        """Do step `number` of the plan; return its losses, still on the device."""
        stage = stage_of(self.config.schedule, number)
        self.bank.step = number
        if number == stage.first and (stage.phase == "graph" or self.bank.is_empty):
            self.refresh_bank()
        torch.manual_seed(step_seed(self.seed, number, self.rank))
        rng = np.random.default_rng([self.seed, number, self.rank])
        losses: dict[str, Tensor] = self.network(self.draw(stage, rng), self.bank)
        total = weigh(losses, self.config)
        self.descend(stage, number, total)
        return {name: loss.detach() for name, loss in (losses | {"total": total}).items()}

    def draw(self, stage: Stage, rng: np.random.Generator) -> EncoderBatch | GraphBatch:
        """The batch of a step."""
        if stage.phase == "graph":
            return graph_batch(self.data, self.config, rng)
        return encoder_batch(
            self.data, self.config, rng, posts=self.posts, with_users=stage.phase == "encoders"
        )

    def descend(self, stage: Stage, number: int, total: Tensor) -> None:
        """Follow the gradient of a step's total loss with the optimiser of its phase."""
        schedule = self.config.schedule
        chosen = self.optimisers["graph" if stage.phase == "graph" else "encoders"]
        factor = learning_rate_factor(schedule, stage, number)
        for group in chosen.param_groups:
            group["lr"] = group["initial_lr"] * factor
        chosen.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        parameters = [each for group in chosen.param_groups for each in group["params"]]
        nn.utils.clip_grad_norm_(parameters, schedule.max_gradient_norm)
        chosen.step()

    def refresh_bank(self) -> None:
        """Encode every user anew, each rank its share."""
        mine = np.arange(self.rank, self.data.num_users, self.num_ranks)
        fresh = encode_modalities(self.model, self.data, users=mine, step=self.bank.step)
        if self.num_ranks > 1:
            for tensor in fresh.state().values():
                summed = tensor.to(torch.float32)
                torch.distributed.all_reduce(summed)
                tensor.copy_(summed)
        self.bank.load(fresh.state())

    @torch.no_grad()
    def held_out_losses(self) -> dict[str, float]:
        """Language modelling and alignment on posts that training never reads, masks fixed."""
        self.model.eval()
        sums: dict[str, list[float]] = {}
        for number in range(NUM_HELD_OUT_BATCHES):
            rng = np.random.default_rng([number])
            batch = post_batch(self.data, self.config, rng, self.held_out)
            for name, loss in self.model.post_losses(batch).items():
                sums.setdefault(name, []).append(float(loss))
        self.model.train()
        return {name: sum(values) / len(values) for name, values in sums.items()}

    def state(self) -> dict[str, Tensor]:
        """Everything that a later step depends on, as tensors by name."""
        tensors = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        tensors |= {f"bank.{name}": tensor for name, tensor in self.bank.state().items()}
        for name, chosen in self.optimisers.items():
            for index, moments in chosen.state_dict()["state"].items():
                tensors |= {f"{name}.{index}.{key}": value for key, value in moments.items()}
        return {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}

    def load(self, state: dict[str, Tensor]) -> None:
        """Take over a state that `state` gave."""
        self.model.load_state_dict(part(state, "model"))
        self.bank.load(part(state, "bank"))
        for name, chosen in self.optimisers.items():
            moments: dict[int, dict[str, Tensor]] = {}
            for key, tensor in part(state, name).items():
                index, _, moment = key.partition(".")
                moments.setdefault(int(index), {})[moment] = tensor
            groups = chosen.state_dict()["param_groups"]
            chosen.load_state_dict({"state": moments, "param_groups": groups})

    @property
    def num_steps(self) -> int:
        """Length of the run."""
        return num_steps(self.config.schedule)


def initial_model(config: RunConfig, data: TrainingData, seed: int) -> MMGA:
    """The network before its first step, statistics fitted to the run's users."""
    model = build(config, data.statistics.shape[1], seed)
    model.fit_statistics(torch.tensor(data.statistics))
    return model


def optimiser(
    parameters: Iterable[nn.Parameter], learning_rate: float, weight_decay: float
) -> torch.optim.Optimizer:
    """AdamW; vectors (biases, norms, tokens) do not decay."""
    parameters = list(parameters)
    groups = [
        {"params": [each for each in parameters if each.ndim > 1], "weight_decay": weight_decay},
        {"params": [each for each in parameters if each.ndim <= 1], "weight_decay": 0.0},
    ]
    for group in groups:
        group["initial_lr"] = learning_rate
    return torch.optim.AdamW(groups, lr=learning_rate)


def step_seed(seed: int, step: int, rank: int) -> int:
    """The seed of torch's generator (dropout) in one step."""
    words = np.random.SeedSequence([seed, step, rank]).generate_state(2, np.uint32)
    return int(words[0]) << 31 ^ int(words[1])


def part(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Entries below a prefix, without it."""
    dotted = f"{prefix}."
    return {
        name.removeprefix(dotted): tensor
        for name, tensor in state.items()
        if name.startswith(dotted)
    }


def check_finite(losses: Mapping[str, float], step: int) -> None:
    """Raises NotFinite at the first loss that is not a number."""
    for name, value in losses.items():
        if not np.isfinite(value):
            raise NotFinite(
                f"loss {name} of step {step} is {value}; lower the learning rates of the recipe"
            )


def check_enough(data: TrainingData, posts: PostPools) -> None:
    """Raises NothingToTrain when a phase would have nothing to draw from."""
    if not data.source.num_edges:
        kind = "follows" if data.source.is_directed else "mutual follows"
        raise NothingToTrain(f"no {kind} are left to train on; ingest follows first")
    if not len(posts.captioned):
        raise NothingToTrain("no post has a caption; ingest posts first")
