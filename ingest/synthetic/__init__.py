"""Networks that are made up: for the demo, tests and benchmarks. The same seed, the same bytes."""

from ingest.synthetic.follows import write_follow_events
from ingest.synthetic.network import SyntheticNetwork, write_synthetic_network

__all__ = ["SyntheticNetwork", "write_follow_events", "write_synthetic_network"]
