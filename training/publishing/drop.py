"""Removes a generation from all stores, in an order that any later command can finish.

The folder is renamed first: from then on nobody finds the generation. Definitions go before rows,
and the renamed folder, which names what is left to do, goes last. Whoever has mapped a file keeps
it until it is closed, so nobody has to be waited for.
"""

from featurestore.definitions import representation_name
from featurestore.errors import GenerationInUse
from training.encoding.generation import drop_encodings
from training.publishing.projection import writing_stage
from training.publishing.stores import Stores


def drop(stores: Stores, generation_id: str) -> None:
    """Remove a generation. Raises GenerationMissing, GenerationInUse for one that is kept."""
    refuse_kept(stores, generation_id)
    stores.generations.begin_drop(generation_id)
    finish_drop(stores, generation_id)


def refuse_kept(stores: Stores, generation_id: str) -> None:
    """Raises GenerationInUse for a generation that is served or kept, also for Feast's clients."""
    pointer = stores.online.pointer()
    if generation_id in (pointer.active, stores.registry.active_service()):
        reason = "is active: activate another one first"
    elif generation_id == pointer.previous:
        reason = "is the previous one, which a rollback serves: activate another one first"
    elif generation_id in pointer.pinned:
        reason = "is pinned: unpin it first"
    else:
        return
    raise GenerationInUse(f"generation {generation_id} {reason}")


def finish_drop(stores: Stores, generation_id: str) -> None:
    """Remove all that is left of a generation whose folder is renamed."""
    view = representation_name(generation_id)
    stores.registry.drop_generation(generation_id)
    stores.online.drop_view(view)
    stores.online.drop_watermark(view)
    stores.online.drop_watermark(writing_stage(generation_id))
    stores.indexes.drop(generation_id)
    drop_encodings(stores.training, generation_id)
    stores.history.drop(view)
    stores.generations.end_drop(generation_id)
