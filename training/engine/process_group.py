"""The process group of the workers of one machine: they meet in a file, not at a port.

torch's store of a process group listens on every interface of the machine.
"""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import ray
import torch.distributed as dist
from ray.train.backend import Backend
from ray.train.torch import TorchConfig

TorchBackend: Any = TorchConfig().backend_cls


class LocalTorchBackend(TorchBackend):
    """Ray's backend of torch, whose workers meet in a file."""

    def on_start(self, worker_group: Any, backend_config: "LocalTorchConfig") -> None:
        """Join the workers; each start of them has a file of its own."""
        path = Path(backend_config.folder) / f"group-{uuid4().hex}"
        path.parent.mkdir(parents=True, exist_ok=True)
        num_ranks = len(worker_group)
        ray.get(
            [
                worker_group.execute_single_async(
                    rank, join, backend_config, str(path), rank, num_ranks
                )
                for rank in range(num_ranks)
            ]
        )


@dataclass
class LocalTorchConfig(TorchConfig):
    """torch on one machine; `folder` is where the workers meet."""

    folder: str = ""

    @property
    def backend_cls(self) -> type[Backend]:
        """The class that joins the workers."""
        return LocalTorchBackend


def join(config: LocalTorchConfig, path: str, rank: int, num_ranks: int) -> None:
    """Join the process group, as one of its workers."""
    dist.init_process_group(
        config.backend,
        init_method=f"file://{path}",
        rank=rank,
        world_size=num_ranks,
        timeout=timedelta(seconds=config.timeout_s),
    )
