"""A folder for each test."""

from pathlib import Path

import pytest

from tests.ingest.instaloader.written import Folder


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    path = tmp_path / "crawl"
    path.mkdir()
    return Folder(path)
