"""Places that a person may name relative to the current folder, made the same in every process.

Ray gives each worker a folder of its own.
"""

from pathlib import Path

PACKAGE = "package:"
SQLITE = "sqlite:///"


def absolute_url(graph_url: str) -> str:
    """The URL of a graph, with the whole path where it is that of a file."""
    if not graph_url.startswith(SQLITE) or graph_url == SQLITE:
        return graph_url
    return SQLITE + str(Path(graph_url.removeprefix(SQLITE)).absolute())


def absolute_weights(pretrained: str) -> str:
    """The name of pretrained weights, with the whole path where it is that of a folder."""
    if not is_folder(pretrained):
        return pretrained
    return str(Path(pretrained).expanduser().absolute())


def is_folder(pretrained: str) -> bool:
    """Whether weights lie in a folder, rather than on the hub or in an installed package."""
    if pretrained.startswith(PACKAGE):
        return False
    path = Path(pretrained).expanduser()
    return path.exists() or path.is_absolute() or pretrained.startswith((".", "~"))
