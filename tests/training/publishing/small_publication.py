"""A dozen users, and generations of made-up vectors that are published for them."""

from dataclasses import fields

import numpy as np

from featurestore.definitions import representation_name
from featurestore.heads import Head
from featurestore.online.open import open_online_store
from featurestore.representation import fit_scales
from graphdb.facts import Batch
from graphdb.snapshot.snapshot import take_snapshot
from tests.graphdb.made_facts import profile
from tests.graphdb.oracle import GraphOracle, Memory
from training.encoding.all_users import UserVectors
from training.evaluation.evaluator import NamedHead
from training.publishing.catch_up import CatchUp
from training.publishing.publication import Publication
from training.publishing.publish import publish
from training.publishing.stores import open_stores
from training.settings import TrainingSettings

USERS = [f"user{number:02d}" for number in range(12)]
OLD, NEW = "g1_old", "g2_new"
EVERYBODY = np.ones(len(USERS), np.bool_)


def small_graph():
    """A graph of the users and nothing else."""
    oracle = GraphOracle(Memory(graph_id="graph"))
    oracle.apply(Batch(profiles=[profile(user_id, 1) for user_id in USERS]))
    return oracle


def vectors(seed):
    rng = np.random.default_rng(seed)
    has_image = rng.random(len(USERS)) < 0.5
    image = rng.standard_normal((len(USERS), 3)).astype(np.float32) * has_image[:, None]
    return UserVectors(
        graph=rng.standard_normal((len(USERS), 4)).astype(np.float32),
        image=image,
        text=rng.standard_normal((len(USERS), 5)).astype(np.float32),
        has_image=has_image,
        has_text=np.ones(len(USERS), np.bool_),
    )


def encoded(generation, snapshot, *, all_follows=True):
    """The vectors that the network of this generation has always given."""
    made = vectors(generation.manifest["seed"])
    rows = [USERS.index(user_id) for user_id in snapshot.user_ids]
    return UserVectors(**{each.name: getattr(made, each.name)[rows] for each in fields(made)})


CATCH_UP = CatchUp(encode=encoded)


def opened(store, settings):
    """The stores of publishing."""
    return open_stores(store, settings, TrainingSettings(home=settings.home))


def published(made, store, settings, catch_up=CATCH_UP):
    """Publish as a run does."""
    with opened(store, settings) as stores:
        return publish(made, stores, catch_up)


def publication(store, root, generation_id=NEW, *, seed=1, made=None):
    made = vectors(seed) if made is None else made
    weights = root / "trained.safetensors"
    weights.write_bytes(b"weights")
    head = Head(
        mean=np.zeros(12, np.float32),
        std=np.ones(12, np.float32),
        layers=((np.ones((1, 12), np.float32), np.zeros(1, np.float32)),),
    )
    return Publication(
        generation_id=generation_id,
        snapshot=take_snapshot(store, root / "snapshots"),
        vectors=made,
        scales=fit_scales(made.graph, made.image, made.text),
        heads={"topic ../../é": NamedHead(head=head, input="pair", classes=("follow",))},
        files={"model.safetensors": weights, "tokenizer.json": "{}"},
        evaluation={"figures": []},
        lineage={"recipe": "tiny", "seed": seed, "code_version": "1"},
    )


def served(settings):
    """Active generation, and for each user with a row its three vectors."""
    online = open_online_store(settings, read_only=True)
    try:
        active = online.pointer().active
        rows = online.read(representation_name(active), USERS, ["graph", "image", "text"])
        return active, rows
    finally:
        online.close()


def assert_serves(settings, expected, stays=EVERYBODY):
    active, rows = served(settings)
    assert active == expected.generation_id
    assert rows.present.tolist() == stays.tolist()
    for name in ("graph", "image", "text"):
        assert np.array_equal(rows.features[name][stays], getattr(expected.vectors, name)[stays])


def never(generation, snapshot, *, all_follows):
    raise AssertionError("vectors that are current are not encoded again")


NEVER = CatchUp(encode=never)
