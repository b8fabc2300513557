"""The image of a post: what its event names, and the folder in which that is a path.

    /data/crawl/./images/a.jpg     `images/a.jpg`, named by an event of a file in /data/crawl
    images/a.jpg                   the same, named by an event that lay in no folder
    https://example.com/a.jpg      belongs to no folder

The folder says where an event was read, as positions do: it is no part of the graph's content.
"""

FILE = "file"
MARK = "/./"
"""Ends the folder. No resolved path holds it, so an event cannot name a folder of its own."""


def scheme_of(reference: str) -> str:
    """The scheme of a URI in lower case; `file` for a plain path (which may hold colons)."""
    scheme, separator, _ = reference.partition("://")
    return scheme.lower() if separator and scheme.isalnum() else FILE


def image_in(folder: str, reference: str) -> str:
    """The image that an event in a folder names; the folder is empty where there is none."""
    is_free = not reference or scheme_of(reference) != FILE
    if is_free or not (folder or MARK in reference):
        return reference
    return f"{folder}{MARK}{reference}"


def folder_and_reference(image: str) -> tuple[str, str]:
    """The folder of an image, empty where there is none, and what the event named."""
    if scheme_of(image) != FILE or MARK not in image:
        return "", image
    folder, _, reference = image.partition(MARK)
    return folder, reference
