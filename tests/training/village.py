"""A village of two quarters: neighbours follow and write alike, a few follow across."""

import numpy as np

from graphdb.facts import Batch, FollowColumns
from graphdb.snapshot.snapshot import take_snapshot
from tests.graphdb.made_facts import label, post, profile
from tests.graphdb.oracle import GraphOracle, Memory
from training.evaluation.user_texts import read_user_texts
from training.inputs.captions import pin_texts

NUM_USERS = 140
WORDS = (["boat", "lake", "fish", "water"], ["peak", "snow", "rope", "climb"])


def quarter(user):
    return user % 2


def follows(seed=0):
    """Follower and followee of each follow, as numbers."""
    rng = np.random.default_rng(seed)
    u, v = np.divmod(np.arange(NUM_USERS**2), NUM_USERS)
    rate = np.where(u % 2 == v % 2, 0.3, 0.03)
    kept = (rng.random(len(u)) < rate) & (u != v)
    return u[kept], v[kept]


def village(folder, seed=0):
    """Snapshot and texts of the village."""
    rng = np.random.default_rng(seed)
    names = [f"u{number:03d}" for number in range(NUM_USERS)]
    u, v = follows(seed)
    columns = FollowColumns(
        follower_ids=[names[each] for each in u],
        followee_ids=[names[each] for each in v],
        times=[1] * len(u),
        ties=list(range(len(u))),
        live=[True] * len(u),
    )
    posts = [
        post(f"p{name}{number}", name, 2, caption=" ".join(rng.choice(WORDS[quarter(user)], 3)))
        for user, name in enumerate(names)
        for number in range(2)
    ]
    labels = [
        label("user", name, 1, ["water", "mountain"][quarter(user)])
        for user, name in enumerate(names)
    ]
    store = GraphOracle(Memory(graph_id="village"))
    profiles = [profile(name, 1, biography=f"b{quarter(n)} x") for n, name in enumerate(names)]
    store.apply(Batch(profiles=profiles, posts=posts, follows=columns, labels=labels))
    snapshot = take_snapshot(store, folder)
    return snapshot, read_user_texts(snapshot, pin_texts(store, snapshot))
