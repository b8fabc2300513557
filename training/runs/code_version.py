"""The version of the code that a run was trained by."""

import hashlib
from importlib.metadata import version
from pathlib import Path

import foundation
import graphdb
import training


def code_version() -> str:
    """The package's version and a digest of the source that a run depends on."""
    digest = hashlib.blake2b(digest_size=6)
    for package in (training, graphdb, foundation):
        for path in sorted(Path(package.__path__[0]).rglob("*.py")):
            digest.update(path.read_bytes())
    return f"{version('mmga')}+{digest.hexdigest()}"
