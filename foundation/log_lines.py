"""Log lines on stderr, the same in each process of a command."""

import logging
import sys

QUIET_CLIENTS = ("kafka", "neo4j")
"""They log each attempt to reach a server; we note an outage once."""


def log_to_stderr(*, debug: bool) -> None:
    """Log warnings, with `debug` all, of this process on stderr."""
    logging.basicConfig(
        level=logging.DEBUG if debug else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    if not debug:
        for client in QUIET_CLIENTS:
            logging.getLogger(client).setLevel(logging.CRITICAL)
