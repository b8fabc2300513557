"""What is sampled from, and how: the words that a run config takes."""

from typing import Literal

Edges = Literal["mutual", "follows", "mutual+mentions", "follows+mentions"]


HardNegatives = Literal["degree", "two_hop"]


Sampler = Literal["snapshot", "database"]
