"""What all tests share: Hypothesis profiles, one random state at the start of each test, the order
of files, and the real data sets where they are present.

Real data are looked for in MMGA_DATA_DIR, by default `../shared/data` beside the repository.
"""

import os
import random
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import prometheus_client  # noqa: F401  before Feast, which would have it count in shared files
import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.servers.report", "tests.servers.fixtures"]

DATA_DIR = Path(
    os.environ.get("MMGA_DATA_DIR", Path(__file__).parents[1].joinpath("../shared/data").resolve())
)

DEFAULT_LIMIT_SECONDS = 600  # as in pyproject.toml

# Machines are shared and slow at times: a deadline would fail the test for that.
settings.register_profile("dev", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("dev"), derandomize=True, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if "CI" in os.environ else "dev"))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Begin each test, and the fixtures that it is the first to use, with the same random state."""
    random.seed(0)
    np.random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put long files first, and skip tests of real data where there are none."""
    items.sort(key=length_of_file(items), reverse=True)
    if DATA_DIR.is_dir():
        return
    skip = pytest.mark.skip(reason=f"no data sets in {DATA_DIR}; set MMGA_DATA_DIR to have them")
    for item in items:
        if item.get_closest_marker("real_data"):
            item.add_marker(skip)


def length_of_file(items: list[pytest.Item]) -> Callable[[pytest.Item], tuple[float, str, float]]:
    """How long an item's file may take: by the time limits of its tests outside the core suite.

    Workers take files in this order; were a long file the last, the others would wait for it.
    Long files of one folder stay together, since they share its servers. What is left is quick,
    and goes by the number of tests.
    """
    files: Counter[Path] = Counter()
    for item in items:
        if item.get_closest_marker("slow") or item.get_closest_marker("servers"):
            limit = item.get_closest_marker("timeout")
            files[item.path] += limit.args[0] if limit else DEFAULT_LIMIT_SECONDS
    folders: Counter[Path] = Counter()
    for path, seconds in files.items():
        folders[path.parent] += seconds
    number = Counter(item.path for item in items)

    def length(item: pytest.Item) -> tuple[float, str, float]:
        path, folder = item.path, item.path.parent
        if path in files:
            return folders[folder], str(folder), files[path]
        return 0, "", number[path]

    return length


@pytest.fixture(scope="session")
def congress_events() -> Path:
    """The events of the Congress data set; skips where it is absent."""
    path = DATA_DIR / "congress" / "events.jsonl"
    if not path.is_file():
        pytest.skip(f"no {path}; set MMGA_DATA_DIR to the folder that holds congress/")
    return path
