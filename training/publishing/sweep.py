"""Finishes or removes what killed commands left, before the next one publishes."""

from featurestore.definitions import representation_name
from training.publishing.drop import finish_drop
from training.publishing.projection import delete_left, writing_stage
from training.publishing.stores import Stores


def sweep(stores: Stores) -> None:
    """Leave no half of a generation, no vector of a user who left, and Feast's service right."""
    stores.generations.drop_staged()
    reconcile_service(stores)
    for generation_id in stores.generations.dropped():
        finish_drop(stores, generation_id)
    for generation in stores.generations.list():
        sweep_projection(stores, generation.id)


def reconcile_service(stores: Stores) -> None:
    """Point Feast's service to the active generation, where a kill came between the two."""
    active = stores.online.pointer().active
    if active is None or active == stores.registry.active_service():
        return
    for generation in stores.generations.list():
        if generation.id == active:
            stores.registry.apply_generation(active, generation.dims)
            stores.registry.activate_service(active)


def sweep_projection(stores: Stores, generation_id: str) -> None:
    """Remove the rows of a projection that never came to its end, or of users who left meanwhile.

    Rows of a generation whose vectors were complete before stay: they are newer, not wrong.
    """
    online, view = stores.online, representation_name(generation_id)
    if online.watermark(writing_stage(generation_id)) is None:
        return
    if online.watermark(view) is None and generation_id not in online.pointer().kept:
        online.drop_view(view)
    else:
        delete_left(stores, generation_id)
    online.drop_watermark(writing_stage(generation_id))
