from datetime import UTC, datetime

import numpy as np

from featurestore.definitions import representation_name
from featurestore.generations.generation import Generations
from featurestore.generations.progress import GenerationProgress, generations_progress
from featurestore.generations.verdicts import Verdict
from featurestore.online.open import open_online_store
from featurestore.settings import FeatureStoreSettings
from foundation.watermark import Watermark
from tests.featurestore.activation import make_active
from tests.featurestore.test_generations import seal

NOW = datetime(2026, 11, 21, 13, tzinfo=UTC)
HEAD = Watermark(graph_id="abc", version=15, commit_time=10**15 + 3_000_000)


def test_roles_watermark_lag_age_and_verdict(settings: FeatureStoreSettings) -> None:
    generations = Generations(settings)
    for name in ("g1", "g2", "g3"):
        seal(generations, name)
    generations.verdicts("g2").append(Verdict(kind="promotion", ok=True))
    store = open_online_store(settings)
    marks = {
        "g1": Watermark(graph_id="another", version=12, commit_time=10**15),
        "g2": Watermark(graph_id="abc", version=12, commit_time=10**15),
    }
    for name, mark in marks.items():
        view = representation_name(name)
        store.write(view, ["a"], {"x": np.ones(1)}, commit_time=1)
        store.set_watermark(view, mark)
        make_active(store, name)
    store.change_pointer(lambda found: found.with_pin("g3"))
    first, second, third = generations_progress(generations, store, HEAD, NOW)
    assert second == GenerationProgress(
        id="g2",
        is_active=True,
        is_previous=False,
        is_pinned=False,
        watermark=12,
        lag_seconds=3.0,
        age_seconds=3600.0,
        verdict="promoted",
    )
    assert (first.is_previous, first.watermark, first.lag_seconds) == (True, None, None)
    assert (third.is_pinned, third.watermark, third.verdict) == (True, None, None)
    store.close()
    assert [each.is_active for each in generations_progress(generations, None, HEAD, NOW)] == [
        False
    ] * 3
