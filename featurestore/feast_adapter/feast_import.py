"""The import of Feast, five times quicker: without its type checks at run time and without torch.

For each method that it has checked at run time, Feast parses the method's whole module anew
(typeguard); mypy checks our calls. Where torch is installed, Feast imports it for one conversion of
its results to tensors, which we do not use.
"""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def import_feast() -> Any:
    """The module `feast`. Whatever has imported it, or torch, before stays as it is."""
    if "feast" in sys.modules:
        return sys.modules["feast"]
    with without_type_checks(), without("torch"):
        return importlib.import_module("feast")


@contextmanager
def without_type_checks() -> Iterator[None]:
    """Make typeguard's decorator return what it decorates, as it does under `python -O`."""
    import typeguard

    decorator = typeguard.typechecked
    typeguard.typechecked = lambda target: target  # type: ignore[assignment]
    try:
        yield
    finally:
        typeguard.typechecked = decorator


@contextmanager
def without(module: str) -> Iterator[None]:
    """Make the import of a module fail as if it were not installed, unless it is imported."""
    if module in sys.modules:
        yield
        return
    sys.modules[module] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[module]
