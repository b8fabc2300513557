"""The import of Feast leaves nothing behind of what it keeps from Feast."""

import sys
from importlib import import_module

import pytest
import typeguard

from featurestore.feast_adapter.feast_import import without, without_type_checks


def test_type_checks_are_left_out_for_the_time_of_the_import_alone() -> None:
    def half(value: int) -> int:
        return value // 2

    decorator = typeguard.typechecked
    with without_type_checks():
        assert typeguard.typechecked(half) is half
    assert typeguard.typechecked is decorator


def test_a_module_is_absent_for_the_time_of_the_import_alone() -> None:
    name = "antigravity"
    assert name not in sys.modules
    with without(name), pytest.raises(ModuleNotFoundError):
        import_module(name)
    assert name not in sys.modules


def test_a_module_that_is_imported_already_stays() -> None:
    with without("typeguard"):
        assert import_module("typeguard") is typeguard
