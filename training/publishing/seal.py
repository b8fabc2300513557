"""Seals a trained network as a generation: whole or not at all, and immutable from then on."""

import json
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from featurestore.errors import GenerationMissing
from featurestore.generations.generation import Generation, Generations
from featurestore.heads import save_head
from training.evaluation.evaluator import NamedHead
from training.publishing.publication import Publication, by_modality


def sealed(publication: Publication, generations: Generations) -> Generation:
    """The generation of this publication, sealed now or by an earlier attempt."""
    try:
        return generations.get(publication.generation_id)
    except GenerationMissing:
        folder = generations.begin(publication.generation_id)
    write_artifacts(publication, folder)
    return generations.seal(publication.generation_id, manifest(publication))


def write_artifacts(publication: Publication, folder: Path) -> None:
    """Fill the staging folder: files, heads, evaluation."""
    for name, content in publication.files.items():
        if isinstance(content, Path):
            shutil.copyfile(content, folder / name)
        else:
            (folder / name).write_text(content, encoding="utf-8")
    write_heads(publication.heads, folder / "heads")
    evaluation = json.dumps(publication.evaluation, indent=1, sort_keys=True)
    (folder / "evaluation.json").write_text(evaluation, encoding="utf-8")


def write_heads(heads: Mapping[str, NamedHead], folder: Path) -> None:
    """Write heads to numbered files, and `heads.json` with name, input and logits of each."""
    folder.mkdir()
    index = {}
    for number, (name, each) in enumerate(heads.items()):
        file = f"{number}.safetensors"
        save_head(each.head, folder / file)
        index[name] = {"file": file, "input": each.input, "classes": list(each.classes)}
    text = json.dumps(index, indent=1, ensure_ascii=False)
    (folder / "heads.json").write_text(text, encoding="utf-8")


def manifest(publication: Publication) -> dict[str, Any]:
    """Lineage, widths and scales."""
    snapshot, matrices = publication.snapshot, by_modality(publication.vectors)
    return {
        **publication.lineage,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "graph_id": snapshot.graph_id,
        "graph_version": snapshot.version,
        "commit_time": snapshot.commit_time,
        "dims": {name: matrix.shape[1] for name, matrix in matrices.items()},
        "scales": dict(publication.scales),
        "num_users": snapshot.num_users,
    }
