"""Training steps of one phase, timed beside the same passes of the encoders alone.

Alone, the encoders read the same captions and images, with language modelling and image-text
alignment as losses; what only gives vectors of users ends in the mean of its squares. Gradients
are cut and the optimiser moves as in a step. The batches of up to 8 steps lie on the device before
the clock starts, and are taken in turn.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor, nn

from training.engine.batch_loader import moved
from training.engine.optimiser import parameters_of
from training.mmga.batches import EncoderBatch, UserBatch
from training.mmga.model import MMGA
from training.mmga.phases import Phase, plan
from training.mmga.trainer import Trainer

NUM_WARM_UP_STEPS = 3
MAX_STEPS_HELD = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedSteps:
    """Mean seconds of a step as `Trainer.steps` does it, and of its encoders alone.

    `alone` is NaN for a phase that encodes nothing. `waiting` is the share of the time for which
    steps waited for batches, `peak_bytes` what PyTorch held of a CUDA device (0 on a CPU).
    """

    step: float
    alone: float
    waiting: float
    peak_bytes: int

    @property
    def ratio(self) -> float:
        """The whole step against its encoders."""
        return self.step / self.alone


def timed_phase(trainer: Trainer, phase: Phase, num_steps: int) -> TimedSteps:
    """Time steps from the first of the phase on, then the same passes alone."""
    first = next(stage.first for stage in plan(trainer.config.phases) if stage.phase == phase)
    records = trainer.steps(first)
    for _ in islice(records, NUM_WARM_UP_STEPS):
        pass
    on_cuda = trainer.device.type == "cuda"
    if on_cuda:
        torch.cuda.reset_peak_memory_stats(trainer.device)
    started = now(trainer.device)
    waited = [record.waited_seconds for record in islice(records, num_steps)]
    seconds = now(trainer.device) - started
    peak_bytes = torch.cuda.max_memory_allocated(trainer.device) if on_cuda else 0
    del records  # ends the threads that draw
    timed = range(first + NUM_WARM_UP_STEPS, first + NUM_WARM_UP_STEPS + num_steps)
    return TimedSteps(
        step=seconds / num_steps,
        alone=encoders_alone(trainer, timed),
        waiting=sum(waited) / seconds,
        peak_bytes=peak_bytes,
    )


def encoders_alone(trainer: Trainer, numbers: range) -> float:
    """Mean seconds of the encoders' passes of these steps."""
    steps = [encoder_batches(trainer, number) for number in numbers[:MAX_STEPS_HELD]]
    if not all(steps):
        return float("nan")
    for batches in steps[:NUM_WARM_UP_STEPS]:
        encoder_step(trainer, batches)
    started = now(trainer.device)
    for place in range(len(numbers)):
        encoder_step(trainer, steps[place % len(steps)])
    return (now(trainer.device) - started) / len(numbers)


def encoder_batches(trainer: Trainer, number: int) -> list[EncoderBatch]:
    """What a step encodes, on the device."""
    drawn = (trainer.draw(number, each) for each in range(num_microbatches(trainer)))
    return [
        moved(part, trainer.device)
        for batch in drawn
        for part in batch
        if isinstance(part, EncoderBatch)
    ]


def encoder_step(trainer: Trainer, batches: Sequence[EncoderBatch]) -> None:
    """Forward, backward and update of the encoders alone."""
    chosen = trainer.optimisers["encoders"]
    chosen.zero_grad(set_to_none=True)
    for batch in batches:
        with trainer.weighted.precision(encoders=True):
            loss = own_loss(trainer.model, batch)
        (loss / len(batches)).backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(parameters_of(chosen), trainer.config.phases.max_gradient_norm)
    chosen.step()


def own_loss(model: MMGA, batch: EncoderBatch) -> Tensor:
    """The encoders' own objectives, and the passes over the users' posts."""
    loss = torch.stack(list(model.post_losses(batch.posts).values())).sum()
    return loss if batch.users is None else loss + users_loss(model, batch.users)


def users_loss(model: MMGA, users: UserBatch) -> Tensor:
    """The mean square of the vectors of the users' posts."""
    texts = torch.cat([model.text(tokens) for tokens in users.tokens])
    loss: Tensor = model.image(users.pixels).square().mean() + texts.square().mean()
    return loss


def num_microbatches(trainer: Trainer) -> int:
    """Batches of a step."""
    return trainer.config.phases.num_microbatches


def now(device: torch.device) -> float:
    """The clock, when the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
