"""No module imports one that imports it, also where the import stands in a function."""

import ast
from collections.abc import Collection, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("graphdb", "featurestore", "ingest", "training", "serving")


def modules() -> dict[str, Path]:
    """Our modules and packages by their dotted names."""
    paths = [path for name in PACKAGES for path in (ROOT / name).rglob("*.py")]
    return {dotted_name(path): path for path in [*paths, ROOT / "mmga.py"]}


def dotted_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path, known: Collection[str]) -> Iterator[str]:
    """The modules that the import statements of a file name, wherever these stand."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module in known:
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                yield submodule if submodule in known else node.module


def test_no_module_imports_one_that_imports_it() -> None:
    known = modules()
    graph = {name: set(imported(path, known)) for name, path in known.items()}
    assert sum(map(len, graph.values())) > 500
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        raise AssertionError(f"imports in a circle: {' <- '.join(error.args[1])}") from None
