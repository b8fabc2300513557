"""Images of posts: what an event named, and the folder in which that is a path."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphdb.image_reference import folder_and_reference, image_in, scheme_of

FOLDERS = ["", "/", "/data/crawl", "/data/12:30", "/a.b/..c/.d"]
REFERENCES = [
    "a.jpg",
    "images/a.jpg",
    "./a.jpg",
    "../a.jpg",
    "/etc/passwd",
    "/etc/./passwd",
    "x/./y",
    "file:///data/./a.jpg",
    "12:30.jpg",
]


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("reference", REFERENCES)
def test_a_path_comes_back_with_its_folder(folder: str, reference: str) -> None:
    assert folder_and_reference(image_in(folder, reference)) == (folder, reference)


@given(st.text(), st.sampled_from(FOLDERS))
def test_no_reference_changes_the_folder(reference: str, folder: str) -> None:
    found, named = folder_and_reference(image_in(folder, reference))
    assert named == reference
    assert found == (folder if reference and scheme_of(reference) == "file" else "")


@pytest.mark.parametrize("reference", ["https://h/./a.jpg", "HTTP://h/a", "s3://b/a", ""])
def test_what_is_no_path_has_no_folder(reference: str) -> None:
    assert image_in("/data", reference) == reference
    assert folder_and_reference(reference) == ("", reference)


def test_the_image_is_a_path_that_can_be_opened() -> None:
    assert image_in("/data/crawl", "images/a.jpg") == "/data/crawl/./images/a.jpg"
