"""Values of the sampling options of a run config."""

from typing import Literal

Edges = Literal["mutual", "follows", "mutual+mentions", "follows+mentions"]
HardNegatives = Literal["degree", "two_hop"]
Sampler = Literal["snapshot", "database"]
