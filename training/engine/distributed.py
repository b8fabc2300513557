"""Communication between the workers of a run: gradients, and rows of the bank.

Every worker has the whole bank and all banks are equal between steps, so that the checkpoint of
one is the checkpoint of all.
"""

from contextlib import AbstractContextManager, nullcontext

import torch
import torch.distributed as dist
from torch import Tensor, nn


def data_parallel(network: nn.Module, num_ranks: int, device: torch.device) -> nn.Module:
    """The network whose gradients are averaged over the ranks; itself for one rank."""
    if num_ranks == 1:
        return network
    return nn.parallel.DistributedDataParallel(
        network,
        device_ids=[device] if device.type == "cuda" else None,
        find_unused_parameters=True,
        broadcast_buffers=False,
    )


def averaging(network: nn.Module, *, last: bool) -> AbstractContextManager[None]:
    """Ranks average the gradient that the last batch of a step completes."""
    if isinstance(network, nn.parallel.DistributedDataParallel) and not last:
        no_sync: AbstractContextManager[None] = network.no_sync()
        return no_sync
    return nullcontext()


def sum_over_ranks(tensors: dict[str, Tensor], device: torch.device) -> None:
    """Replace each tensor by its sum over the ranks; `device` is that of the process group."""
    for tensor in tensors.values():
        summed = tensor.to(device)
        dist.all_reduce(summed)
        tensor.copy_(summed)


def gathered(mine: list[Tensor], num_ranks: int) -> list[list[Tensor]]:
    """The tensors of every rank, whose first lengths may differ."""
    length = torch.tensor([len(mine[0])], device=mine[0].device)
    lengths = [torch.zeros_like(length) for _ in range(num_ranks)]
    dist.all_gather(lengths, length)
    longest = int(torch.stack(lengths).max())
    found: list[list[Tensor]] = [[] for _ in range(num_ranks)]
    for tensor in mine:
        padded = tensor.new_zeros(longest, *tensor.shape[1:])
        padded[: len(tensor)] = tensor
        parts = [torch.zeros_like(padded) for _ in range(num_ranks)]
        dist.all_gather(parts, padded)
        for theirs, part, size in zip(found, parts, lengths, strict=True):
            theirs.append(part[: int(size)])
    return found
