from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.services import Services, open_services
from tests.serving.published import Home, random_vectors

USERS = ["ann", "bob", "cat", "dan", "eve"]


@pytest.fixture
def empty_home(tmp_path: Path) -> Iterator[Home]:
    """An online store without a row."""
    home = Home(tmp_path / "home")
    yield home
    home.online.close()


@pytest.fixture
def home(empty_home: Home) -> Home:
    """Five users with statistics and vectors of the active generation g1."""
    empty_home.write_statistics(USERS)
    empty_home.publish("g1", USERS, random_vectors(len(USERS)))
    return empty_home


@pytest.fixture
def services(home: Home) -> Iterator[Services]:
    with open_services(home.serving_settings) as opened:
        yield opened
