"""Activates a generation, or rolls back to the previous one: checked, caught up, then served.

Checksums and graph are verified first. Then vectors and base index are brought up to date, and one
write of the pointer record makes the generation the one that is served. Last, the feature service
`user_representation` follows, for clients of plain Feast.
"""

import time

from featurestore.definitions import representation_name
from featurestore.errors import GenerationForeign, GenerationMissing, GenerationRefused
from featurestore.generations.generation import Generation
from featurestore.generations.verdicts import Verdict
from featurestore.online.pointer import Pointer
from training.publishing.catch_up import CatchUp
from training.publishing.stores import Stores


def activate(
    stores: Stores, generation_id: str, catch_up: CatchUp, *, reason: str, forced: bool = False
) -> Pointer:
    """Serve a generation; return the new pointer record.

    Raises GenerationMissing, ArtifactCorrupt, GenerationForeign, and, unless it is forced,
    GenerationRefused.
    """
    generation = verified(stores, generation_id)
    if forced:
        verdict = Verdict(kind="forced", ok=True, reasons=(reason,))
        stores.generations.verdicts(generation_id).append(verdict)
    else:
        refuse_unless_promoted(stores, generation_id)
    catch_up(stores, generation)
    return flip(stores, generation_id, reason)


def roll_back(
    stores: Stores, catch_up: CatchUp, *, reason: str = "rolled back", now: bool = False
) -> Pointer:
    """Serve the previous generation again; return the new pointer record.

    With `now` it is served at once, with the vectors that it has, and catches up afterwards. Raises
    GenerationMissing, ArtifactCorrupt, GenerationForeign.
    """
    before = stores.online.pointer()
    if before.active is None or before.previous is None:
        raise GenerationMissing(
            "there is no previous generation to roll back to: see `mmga generations list`"
        )
    generation = verified(stores, before.previous)
    if now:
        refuse_without_vectors(stores, generation)
    else:
        catch_up(stores, generation)
    verdict = Verdict(kind="rolled back", ok=False, reasons=(reason,))
    stores.generations.verdicts(before.active).append(verdict)
    pointer = flip(stores, generation.id, reason)
    if now:
        catch_up(stores, generation)
    return pointer


def verified(stores: Stores, generation_id: str) -> Generation:
    """A generation whose files are what was sealed, and which is of this graph."""
    generation = stores.generations.get(generation_id)
    generation.verify()
    if (trained_on := generation.manifest["graph_id"]) != stores.graph.graph_id:
        raise GenerationForeign(
            f"generation {generation_id} was trained on graph {trained_on}, this graph is "
            f"{stores.graph.graph_id}: train on this graph with `mmga train`"
        )
    return generation


def refuse_unless_promoted(stores: Stores, generation_id: str) -> None:
    """Raises GenerationRefused for a generation that did not pass promotion."""
    verdict = stores.generations.verdicts(generation_id).promotion()
    if verdict is None or not verdict.ok:
        flaws = "; ".join(verdict.reasons) if verdict else "it was not judged"
        raise GenerationRefused(
            f"generation {generation_id} did not pass ({flaws}): serve it all the same with "
            f"`mmga generations activate {generation_id} --force REASON`"
        )


def refuse_without_vectors(stores: Stores, generation: Generation) -> None:
    """Raises GenerationMissing for a generation that has no vectors or no index to serve."""
    view = representation_name(generation.id)
    if stores.online.watermark(view) is None or stores.indexes.newest(generation.id) is None:
        raise GenerationMissing(
            f"generation {generation.id} has no vectors to serve now: roll back without --now"
        )


def flip(stores: Stores, generation_id: str, reason: str) -> Pointer:
    """Point to a generation whose projections are there."""
    now = time.time_ns() // 1_000
    pointer = stores.online.change_pointer(
        lambda found: found.activated(generation_id, reason=reason, time=now)
    )
    stores.registry.activate_service(generation_id)
    return pointer
