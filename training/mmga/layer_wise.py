"""R^G of all users, layer by layer over fixed neighbourhoods.

The neighbours that inference draws of a user are a function of the user, the relation, the fan-out
of the layer and the salt, never of the seed whose neighbourhood is expanded. So h^l of a user is
the same in every neighbourhood, and each layer is computed for all users before the next one: the
number of messages is that of the drawn edges, however many neighbourhoods of several hops would
contain each of them.

Shapes: N users, U users of a range, B users of a block, n nodes of a block (its users first),
Dg width.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from training.engine.batch_loader import moved
from training.mmga.batches import blocks_of, signature_rows, statistics_rows
from training.mmga.graph_encoder import NodeStates
from training.mmga.message_gate import GateTerms, NodeInputs
from training.mmga.model import MMGA
from training.mmga.training_data import TrainingData
from training.mmga.user_vectors import Chunks, ModalSource, pieces
from training.sampling.neighbourhoods import fixed_draw, neighbourhood
from training.sampling.source import GraphSource

Columns = Mapping[str, NDArray[Any]]
"""Arrays with a row for each user, by name."""

VECTORS = "graph"
"""The only column of the last pass: R^G, or the fused vector."""


class UserRows(Protocol):
    """The columns that a pass has computed of all users: arrays or files."""

    def read(self, users: NDArray[np.int64]) -> Columns:
        """The rows of these users."""


class ArrayRows:
    """Columns of all users in memory."""

    def __init__(self, ranges: Sequence[Columns]) -> None:
        """Join the columns of ranges of users, in their order."""
        self.columns = {name: np.concatenate([each[name] for each in ranges]) for name in ranges[0]}

    def read(self, users: NDArray[np.int64]) -> Columns:
        """The rows of these users."""
        return {name: column[users] for name, column in self.columns.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerEncoder:
    """Encodes users in passes over all users: pass l computes h^l from the rows of pass l - 1.

    Pass 0 computes h^0 from X, R^I and R^T; the last pass ends with the vectors. Passes between
    them leave what the next layer reads of a user (`NodeStates`). Memory of a pass is bounded by
    the users of a range and the edges of a block of `chunks.num_seeds` users.
    """

    model: MMGA
    data: TrainingData
    known: ModalSource
    source: GraphSource
    salt: bytes
    chunks: Chunks

    def encode(self) -> NDArray[np.float32]:
        """R^G, or the fused vector, (N, Dg) of all users, with every pass in memory."""
        rows: ArrayRows | None = None
        for number in range(num_passes(self.model)):
            ranges = self.chunks.of_users(np.arange(self.data.num_users))
            rows = ArrayRows([self.columns(number, users, rows) for users in ranges])
        assert rows is not None
        return rows.columns[VECTORS]

    @torch.no_grad()
    def columns(self, number: int, users: NDArray[np.int64], before: UserRows | None) -> Columns:
        """What a pass computes of these users; `before` has the previous pass, none for pass 0."""
        graph = self.model.graph
        with evaluating(self.model):
            nodes = self._inputs(users)
            masked = torch.zeros_like(nodes.has_text)
            hidden: Tensor = graph.features(nodes, masked)
            degrees: Sequence[Tensor] = ()
            if before is not None:
                hidden, degrees = self._layer(number - 1, users, before)
            if number == graph.config.num_layers:
                return arrays({VECTORS: self.model.fused(hidden, nodes).float()})
            terms = graph.terms(number, nodes, masked)
            return arrays(columns_of(graph.states(number, hidden, terms, degrees)))

    def _inputs(self, users: NDArray[np.int64]) -> NodeInputs:
        """Inputs of the graph encoder for these users."""
        read = (
            self.known.read(torch.from_numpy(users)),
            statistics_rows(self.data, users),
            signature_rows(self.data, self.model.config, users),
        )
        return self.model.node_inputs(*moved(read, self._device))

    def _layer(
        self, number: int, users: NDArray[np.int64], before: UserRows
    ) -> tuple[Float[Tensor, "U D"], Sequence[Tensor]]:
        """h of these users after a layer, and the degrees that the next one reads."""
        graph, draw = self.model.graph, fixed_draw(self.salt)
        fan_out = graph.config.fan_outs[::-1][number]  # the first layer is the outermost hop
        hidden, degrees = [], []
        for targets in pieces(users, self.chunks.num_seeds):
            around = neighbourhood(self.source, targets, (fan_out,), draw)
            block, states = moved(
                (blocks_of(around)[0], states_of(before.read(around.users))), self._device
            )
            hidden.append(graph.layer(number, states, block))
            degrees.append(graph.degrees(block))
        return torch.cat(hidden), [torch.cat(each) for each in zip(*degrees, strict=True)]

    @property
    def _device(self) -> torch.device:
        return next(self.model.parameters()).device


def num_passes(model: MMGA) -> int:
    """Number of passes over all users: one more than layers."""
    return model.graph.config.num_layers + 1


@contextmanager
def evaluating(model: MMGA) -> Iterator[None]:
    """The network in evaluation mode; then in the mode that it had."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


def arrays(columns: Mapping[str, Tensor]) -> Columns:
    """Tensors as arrays in the memory of the process."""
    return {name: column.cpu().numpy() for name, column in columns.items()}


def columns_of(states: NodeStates) -> dict[str, Tensor]:
    """The tensors of the states by name."""
    terms = states.terms
    projected, unit, known = zip(*terms.modalities, strict=True) if terms.modalities else 3 * ((),)
    return {
        "hidden": states.hidden,
        "target": terms.target,
        "neighbour": terms.neighbour,
        **numbered("message", states.messages),
        **numbered("degree", states.degrees),
        **numbered("projected", projected),
        **numbered("unit", unit),
        **numbered("known", known),
    }


def states_of(columns: Columns) -> NodeStates:
    """The states with these tensors by name; memory is shared."""
    tensors = {name: torch.from_numpy(column) for name, column in columns.items()}
    modalities = [series(tensors, name) for name in ("projected", "unit", "known")]
    return NodeStates(
        hidden=tensors["hidden"],
        messages=series(tensors, "message"),
        degrees=series(tensors, "degree"),
        terms=GateTerms(
            target=tensors["target"],
            neighbour=tensors["neighbour"],
            modalities=list(zip(*modalities, strict=True)),
        ),
    )


def numbered(name: str, tensors: Iterable[Tensor]) -> dict[str, Tensor]:
    """Tensors by a name and their number."""
    return {f"{name}.{number}": tensor for number, tensor in enumerate(tensors)}


def series(tensors: Mapping[str, Tensor], name: str) -> list[Tensor]:
    """The tensors that `numbered` has named."""
    return [tensor for key, tensor in tensors.items() if key.partition(".")[0] == name]
