"""Publishes a trained network as a generation, in steps that can each be repeated.

1. Seal model, heads, evaluation and lineage, whole or not at all.
2. Give the verdict, and stop where it is a refusal: the generation is kept and reported.
3. Project vectors and base index over the run's snapshot.
4. Catch up with the graph, where it has moved on since.
5. Activate: one write of the pointer record beside the vectors.

Only the last step is seen by readers. After a kill the old or the new generation is served, and the
same call completes publishing.
"""

from featurestore.generations.generation import Generation
from training.publishing.activation import flip, verified
from training.publishing.catch_up import CatchUp, is_projected
from training.publishing.projection import project
from training.publishing.publication import Publication, Published
from training.publishing.seal import sealed
from training.publishing.stores import Stores
from training.publishing.sweep import sweep
from training.publishing.verdict import judged


def publish(publication: Publication, stores: Stores, catch_up: CatchUp) -> Published:
    """Do the steps of the module's docstring; steps already done are skipped.

    Raises GenerationForeign for a run on another graph, and errors of the feature store and of the
    graph; then the old generation is still served.
    """
    sweep(stores)
    generation = sealed(publication, stores.generations)
    verdict = judged(publication, stores, catch_up.encode)
    num_left = serve(publication, generation, stores, catch_up) if verdict.ok else 0
    return Published(
        generation_id=generation.id,
        is_active=verdict.ok,
        reasons=verdict.reasons,
        num_users=publication.snapshot.num_users,
        num_left=num_left,
        path=generation.path,
    )


def serve(
    publication: Publication, generation: Generation, stores: Stores, catch_up: CatchUp
) -> int:
    """Steps 3 to 5; the number of users that left since the snapshot."""
    verified(stores, generation.id)
    snapshot, num_left = publication.snapshot, 0
    if not is_projected(stores, generation, snapshot):
        vectors = publication.vectors
        num_left = project(stores, generation, snapshot, vectors, catch_up.progress)
    catch_up(stores, generation)
    flip(stores, generation.id, "published")
    return num_left
