"""The training state of a run (network, optimisers, bank) and its training step.

A step is a function of this state and of random numbers seeded by (seed, step, rank, microbatch)
only, so a run resumed from a checkpoint gives exactly the result of an uninterrupted run. Batches
depend on the same random numbers only, so they are drawn ahead.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from training.engine.batch_loader import BatchLoader, moved
from training.engine.checkpoints import entries_below
from training.engine.distributed import averaging, data_parallel, sum_over_ranks
from training.engine.optimiser import gradient_norms, load_optimiser, optimiser_state
from training.engine.sharding import shard_of
from training.engine.step_log import StepRecord
from training.mmga.batches import (
    EncoderBatch,
    GraphBatch,
    encoder_batch,
    graph_batch,
    post_batch,
    split_posts,
)
from training.mmga.config import PhasesConfig, RunConfig
from training.mmga.diagnosis import diagnose
from training.mmga.loss_weights import Batch, WeightedNetwork
from training.mmga.model import MMGA, build
from training.mmga.optimisation import optimisers_of, step_optimisers
from training.mmga.phases import PARTS, Stage, num_steps, stage_of
from training.mmga.preconditions import check_enough, check_weights
from training.mmga.training_data import TrainingData
from training.mmga.user_bank import bank_of, share_rows
from training.mmga.user_vectors import refill

HELD_OUT_POSTS = 0.05
NUM_HELD_OUT_BATCHES = 8
NUM_DIAGNOSED_BATCHES = 4
POST_TERMS = ("language_modelling", "alignment")


class Trainer:
    """The state of a run on one of `num_ranks` workers, which average their gradients."""

    def __init__(
        self,
        config: RunConfig,
        data: TrainingData,
        *,
        seed: int,
        rank: int = 0,
        num_ranks: int = 1,
        device: torch.device | None = None,
    ) -> None:
        self.config, self.data = config, data
        self.seed, self.rank, self.num_ranks = seed, rank, num_ranks
        self.device = torch.device("cpu") if device is None else device
        self.posts, self.held_out = split_posts(data, held_out_share=HELD_OUT_POSTS)
        check_enough(data, self.posts)
        check_weights(config)
        self.model = initial_model(config, data, seed).to(self.device)
        self.weighted = WeightedNetwork(self.model, config).to(self.device)
        self.network = data_parallel(self.weighted, num_ranks, self.device)
        self.bank = bank_of(data, config, self.device)
        self.optimisers = optimisers_of(self.weighted, config.phases)

    def steps(self, first: int) -> Iterator[StepRecord]:
        """Do the steps of the plan from `first` to the last; batches are drawn ahead."""
        each = self.config.phases.num_microbatches
        loader = BatchLoader(
            lambda index: self.draw(*divmod(index, each)),
            range(first * each, self.num_steps * each),
            device=self.device,
            num_ahead=self.config.compute.num_ahead,
        )
        waits: list[float] = []

        def batches() -> Iterator[Batch]:
            for _, batch in loader:
                waits.append(loader.waited_seconds)
                yield batch

        drawn = batches()
        for number in range(first, self.num_steps):
            record = self._do(number, islice(drawn, each))
            stage = stage_of(self.config.phases, number)
            yield replace(
                record,
                waited_seconds=sum(waits),
                graph_versions=self._graph_versions(),
                is_checkpoint_due=is_checkpoint_due(self.config.phases, number),
                is_held_out_due=stage.phase == "phase0" and number == stage.last,
                findings=self._findings(stage) if number == stage.last else None,
            )
            waits.clear()

    def step(self, number: int) -> dict[str, Tensor]:
        """Do one step of the plan; return its losses, still on the device."""
        each = self.config.phases.num_microbatches
        drawn = (moved(self.draw(number, index), self.device) for index in range(each))
        return self._do(number, drawn).losses

    def draw(self, number: int, microbatch: int = 0) -> Batch:
        """The batch of a step, or one of its batches; on the CPU, a function of the numbers."""
        words = [self.seed, number, self.rank]
        rng = np.random.default_rng([*words, microbatch] if microbatch else words)
        shard = shard_of(
            self.seed,
            number,
            rank=self.rank,
            num_ranks=self.num_ranks,
            microbatch=microbatch,
            num_microbatches=self.config.phases.num_microbatches,
        )
        phase = stage_of(self.config.phases, number).phase
        batch: Batch = ()
        if "encoders" in PARTS[phase]:
            users = phase != "phase0"
            batch += (
                encoder_batch(
                    self.data,
                    self.config,
                    rng,
                    posts=self.posts,
                    with_users=users,
                    shard=shard,
                ),
            )
        if "graph" in PARTS[phase]:
            batch += (graph_batch(self.data, self.config, rng, shard),)
        return batch

    def _do(self, number: int, batches: Iterator[Batch]) -> StepRecord:
        phases = self.config.phases
        stage = stage_of(phases, number)
        moving = {part: self.optimisers[part] for part in stage.parts}
        self.bank.step = number
        if number == stage.first and self._wants_fresh_bank(stage):
            self.refresh_bank()
        torch.manual_seed(step_seed(self.seed, number, self.rank))
        for chosen in moving.values():
            chosen.zero_grad(set_to_none=True)
        share = 1 / phases.num_microbatches
        losses: dict[str, Tensor] = {}
        norms: dict[str, Tensor] = {}
        staleness = None
        for index, batch in enumerate(batches):
            staleness = self._staleness(batch, number) if index == 0 else staleness
            with averaging(self.network, last=index == phases.num_microbatches - 1):
                values, terms = self._forward(batch)
                if self._measures_terms(number, index):
                    norms |= gradient_norms(terms, moving.values())
                (share * values["total"]).backward()  # type: ignore[no-untyped-call]
            for name, value in values.items():
                losses[name] = losses.get(name, 0.0) + share * value.detach()
            if self.num_ranks > 1:
                self._share(batch)
        norms["total"], rates = step_optimisers(moving, phases, number)
        return StepRecord(
            number=number,
            phase=stage.phase,
            losses=losses,
            gradient_norms=norms,
            learning_rates=rates,
            staleness=staleness,
        )

    def _graph_versions(self) -> tuple[int, int] | None:
        seen = self.data.source.versions
        return None if seen is None else (seen.first, seen.last)

    def _findings(self, stage: Stage) -> tuple[str, ...]:
        """Findings of collapse at the end of a stage, on its last batches on rank 0."""
        if self.rank:
            return ()
        last = range(max(stage.first, stage.last + 1 - NUM_DIAGNOSED_BATCHES), stage.last + 1)
        batches = (moved(self.draw(each), self.device) for each in last)
        return tuple(str(each) for each in diagnose(self.model, self.bank, batches))

    def _forward(self, batch: Batch) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The losses with their total, which alone has a gradient, and the weighted terms."""
        losses, terms = self.network(batch, self.bank)
        return losses | {"total": torch.stack(list(terms.values())).sum()}, terms

    def _measures_terms(self, number: int, microbatch: int) -> bool:
        every = self.config.compute.num_steps_per_gradient_norm
        return every > 0 and number % every == 0 and microbatch == 0

    def _staleness(self, batch: Batch, number: int) -> Tensor | None:
        for part in batch:
            if isinstance(part, GraphBatch):
                return self.bank.staleness(part.users, number)
        return None

    def _share(self, batch: Batch) -> None:
        """Exchange newly encoded vectors between the banks of all ranks."""
        for part in batch:
            if isinstance(part, EncoderBatch) and part.users is not None:
                share_rows(self.bank, part.users.users, self.num_ranks)

    def _wants_fresh_bank(self, stage: Stage) -> bool:
        """Whether a stage needs a fresh bank: phase 0 reads none, phase A allows stale vectors."""
        if stage.phase == "encoders":
            return self.config.phases.num_bank_negatives > 0 and self.bank.is_empty
        return "graph" in stage.parts

    def refresh_bank(self) -> None:
        """Encode all users with the current network; each rank encodes its share."""
        mine = np.arange(self.rank, self.data.num_users, self.num_ranks)
        refill(self.bank, self.model, self.data, users=mine)
        if self.num_ranks > 1:
            sum_over_ranks(self.bank.state(), self.device)

    @torch.no_grad()
    def held_out_losses(self) -> dict[str, float]:
        """Losses of language modelling and alignment on held-out posts, with fixed masks.

        Each rank computes its share of the batches; the means are bit-identical to those of one
        rank.
        """
        self.model.eval()
        values = torch.zeros(len(POST_TERMS), NUM_HELD_OUT_BATCHES, dtype=torch.float64)
        for number in range(self.rank, NUM_HELD_OUT_BATCHES, self.num_ranks):
            rng = np.random.default_rng([number])
            batch = moved(post_batch(self.data, self.config, rng, self.held_out), self.device)
            with self.weighted.precision(encoders=True):
                losses = self.model.post_losses(batch)
            values[:, number] = torch.tensor([float(losses[name]) for name in POST_TERMS])
        self.model.train()
        if self.num_ranks > 1:
            sum_over_ranks({"values": values}, self.device)
        return dict(zip(POST_TERMS, values.mean(1).tolist(), strict=True))

    def state(self) -> dict[str, Tensor]:
        """Everything that a later step depends on, as tensors by name, copied to the CPU."""
        parts = {
            "model": self.model.state_dict(),
            "weighting": self.weighted.weighting.state_dict(),
            "bank": self.bank.state(),
        } | {part: optimiser_state(chosen) for part, chosen in self.optimisers.items()}
        return {
            f"{prefix}.{name}": tensor.detach().to("cpu", copy=True).contiguous()
            for prefix, tensors in parts.items()
            for name, tensor in tensors.items()
        }

    def load(self, state: dict[str, Tensor]) -> None:
        """Load a state that `state` returned."""
        self.model.load_state_dict(entries_below(state, "model"))
        self.weighted.weighting.load_state_dict(entries_below(state, "weighting"))
        self.bank.load(entries_below(state, "bank"))
        for part, chosen in self.optimisers.items():
            load_optimiser(chosen, entries_below(state, part))

    @property
    def num_steps(self) -> int:
        """Number of steps of the run."""
        return num_steps(self.config.phases)


def initial_model(config: RunConfig, data: TrainingData, seed: int) -> MMGA:
    """The network before its first step, statistics fitted to the run's users."""
    model = build(config, data.statistics.shape[1], seed)
    model.fit_statistics(torch.tensor(data.statistics))
    return model


def step_seed(seed: int, step: int, rank: int) -> int:
    """The seed of torch's generator (dropout) in one step."""
    words = np.random.SeedSequence([seed, step, rank]).generate_state(2, np.uint32)
    return int(words[0]) << 31 ^ int(words[1])


def is_checkpoint_due(phases: PhasesConfig, number: int) -> bool:
    """Whether a checkpoint follows this step: at a fixed interval and at the end of each stage."""
    last = stage_of(phases, number).last
    return number == last or (number + 1) % phases.num_steps_per_checkpoint == 0
