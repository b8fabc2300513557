import json
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest

from featurestore.definitions import MODALITIES, representation_name
from foundation.watermark import Watermark
from graphdb import open_graph
from graphdb.facts import Batch, ProfileFact
from graphdb.statistics import STATISTICS
from graphdb.store import Head
from serving.encoding import json_bytes
from serving.errors import InvalidRequest, UserUnknown
from serving.lookup import Lookup
from serving.services import Services, open_services
from serving.staleness import staleness_seconds
from tests.serving.conftest import USERS
from tests.serving.published import (
    COMMIT_TIME,
    COMPUTED_AT,
    DIMS,
    GRAPH_ID,
    Home,
    fused,
    random_vectors,
)


def profile(user_id: str) -> ProfileFact:
    return ProfileFact(user_id=user_id, time=1, tie=0, username=user_id)


class TestUser:
    def test_vectors_are_those_written(self, services: Services) -> None:
        written = random_vectors(len(USERS))
        for row, user_id in enumerate(USERS):
            features = services.lookup.user(user_id)
            for name in MODALITIES:
                np.testing.assert_array_equal(getattr(features, name), written[name][row])
            assert features.missing == {}

    def test_representation_is_the_one_that_was_evaluated(self, services: Services) -> None:
        expected = fused(random_vectors(len(USERS)))
        features = services.lookup.user("cat")
        np.testing.assert_array_equal(features.representation, expected[2])

    def test_statistics_and_provenance(self, services: Services) -> None:
        features = services.lookup.user("bob")
        assert features.statistics == {name: 1 + 100 * i for i, name in enumerate(STATISTICS)}
        assert (features.generation, features.graph_version) == ("g1", 5)
        assert (features.computed_at, features.provisional) == (COMPUTED_AT, False)

    def test_a_user_without_vectors_names_them_missing(
        self, home: Home, services: Services
    ) -> None:
        home.write_statistics(["new"])
        features = services.lookup.user("new")
        assert features.statistics is not None
        assert features.missing == dict.fromkeys((*MODALITIES, "representation"), "not_computed")
        assert features.graph is None
        assert features.computed_at is None

    def test_a_user_without_statistics_names_them_missing(
        self, home: Home, services: Services
    ) -> None:
        home.online.delete("user_activity", ["ann"], before=COMMIT_TIME)
        features = services.lookup.user("ann")
        assert (features.statistics, features.missing) == (None, {"statistics": "not_computed"})
        assert features.representation is not None

    def test_a_row_without_one_vector_has_no_representation(
        self, home: Home, services: Services
    ) -> None:
        vectors = random_vectors(1)
        columns = {"graph": vectors["graph"], "text": vectors["text"]}
        home.online.write(representation_name("g1"), ["half"], columns, commit_time=COMMIT_TIME)
        features = services.lookup.user("half")
        np.testing.assert_array_equal(features.text, vectors["text"][0])
        assert features.missing == {
            "statistics": "not_computed",
            "image": "not_computed",
            "representation": "not_computed",
        }

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_what_is_not_finite_is_missing_and_never_written(
        self, home: Home, services: Services, value: float
    ) -> None:
        vectors = random_vectors(1)
        vectors["image"][0, 1] = value
        home.online.write(representation_name("g1"), ["ann"], vectors, commit_time=COMMIT_TIME)
        broken = {"mean_likes": np.array([value], np.float32)}
        home.online.write("user_activity", ["ann"], broken, commit_time=COMMIT_TIME)
        features = services.lookup.user("ann")
        assert set(features.missing) == {"image", "representation"}
        assert features.statistics is not None
        assert features.statistics["mean_likes"] is None
        text = json_bytes(features).decode()
        assert "NaN" not in text
        assert "Infinity" not in text
        assert json.loads(text)["image"] is None

    def test_unknown_and_deleted_users(self, home: Home, services: Services) -> None:
        with pytest.raises(UserUnknown, match="'zoe'"):
            services.lookup.user("zoe")
        home.online.erase(["ann"], before=COMMIT_TIME)
        with pytest.raises(UserUnknown, match="'ann'"):
            services.lookup.user("ann")

    def test_json_reads_back_to_the_same_float32(self, services: Services) -> None:
        features = services.lookup.user("dan")
        read = json.loads(json_bytes(features))
        assert len(read["representation"]) == sum(DIMS.values())
        np.testing.assert_array_equal(np.array(read["graph"], np.float32), features.graph)
        assert read["computed_at"] == "2026-11-21T03:00:00Z"


class TestUsers:
    def test_order_repetition_and_unknown(self, services: Services) -> None:
        answer = services.lookup.users(["eve", "zoe", "ann", "eve"])
        assert [user.user_id for user in answer.users] == ["eve", "ann", "eve"]
        assert (answer.unknown, answer.generation) == (["zoe"], "g1")

    def test_many_are_the_same_as_one_by_one(self, services: Services) -> None:
        together = services.lookup.users(USERS)
        for user_id, features in zip(USERS, together.users, strict=True):
            alone = json.loads(json_bytes(services.lookup.user(user_id)))
            several = json.loads(json_bytes(features))
            del alone["staleness_seconds"], several["staleness_seconds"]
            assert alone == several

    @pytest.mark.parametrize(
        "user_id", ["", "a\nb", "nul\0", "\x7f", "\x9b", "é" * 129, "\ud800", 7, None, b"ann"]
    )
    def test_what_is_no_id_is_refused(self, services: Services, user_id: object) -> None:
        with pytest.raises(InvalidRequest, match="user id"):
            services.lookup.users([user_id])  # type: ignore[list-item]

    @pytest.mark.parametrize(
        "user_id", ["é" * 128, "a/b", "..", "'; DROP TABLE x --", "%2F", " ", "用户", "a:b"]
    )
    def test_what_is_an_id_is_served(self, home: Home, services: Services, user_id: str) -> None:
        home.write_statistics([user_id])
        assert services.lookup.user(user_id).user_id == user_id

    def test_too_many_or_none(self, services: Services) -> None:
        with pytest.raises(InvalidRequest, match="1001 user ids"):
            services.lookup.users(["a"] * 1001)
        with pytest.raises(InvalidRequest, match="no user id"):
            services.lookup.users([])


class TestBeforeTheFirstGeneration:
    def test_statistics_are_served_alone(self, empty_home: Home) -> None:
        empty_home.write_statistics(["ann"])
        with open_services(empty_home.serving_settings) as services:
            features = services.lookup.user("ann")
        assert features.statistics is not None
        assert features.generation is None
        assert features.missing == dict.fromkeys((*MODALITIES, "representation"), "no_generation")

    def test_an_empty_store_knows_nobody(self, empty_home: Home) -> None:
        with open_services(empty_home.serving_settings) as services:
            answer = services.lookup.users(["ann"])
        assert (answer.users, answer.unknown, answer.generation) == ([], ["ann"], None)


class TestStaleness:
    def lookup(self, services: Services, head: tuple[str, Head] | None) -> Lookup:
        return Lookup(
            online=services.online,
            published=services.published,
            graph_head=lambda: head,
            max_users=10,
        )

    def test_a_stage_at_the_head_is_complete_however_old(self, services: Services) -> None:
        head = Head(version=7, commit_time=COMMIT_TIME)
        features = self.lookup(services, (GRAPH_ID, head)).user("ann", max_staleness=0)
        assert features.staleness_seconds["statistics"] == 0
        assert features.statistics is not None

    def test_what_lags_longer_than_accepted_is_withheld(self, services: Services) -> None:
        head = Head(version=7, commit_time=COMMIT_TIME)
        features = self.lookup(services, (GRAPH_ID, head)).user("ann", max_staleness=0.5)
        assert features.missing == dict.fromkeys((*MODALITIES, "representation"), "stale")
        assert features.representation is None
        assert features.generation == "g1"

    def test_vectors_that_caught_up_are_complete(self, home: Home, services: Services) -> None:
        newer = Watermark(graph_id=GRAPH_ID, version=7, commit_time=COMMIT_TIME)
        home.online.set_watermark(representation_name("g1"), newer)
        head = Head(version=7, commit_time=COMMIT_TIME)
        features = self.lookup(services, (GRAPH_ID, head)).user("ann", max_staleness=0)
        assert features.missing == {}

    @pytest.mark.parametrize("bound", [-1.0, float("nan")])
    def test_a_bound_is_not_negative(self, services: Services, bound: float) -> None:
        with pytest.raises(InvalidRequest, match="max_staleness"):
            services.lookup.user("ann", max_staleness=bound)

    def test_follows_the_graph(self, empty_home: Home) -> None:
        settings = empty_home.serving_settings
        with closing(open_graph(settings.graph.graph_url)) as graph:
            first = graph.apply(Batch(profiles=[profile("ann")]))
            empty_home.write_statistics(["ann"])
            mark = Watermark(
                graph_id=graph.graph_id, version=first.version, commit_time=first.commit_time
            )
            empty_home.online.set_watermark("statistics", mark)
            with open_services(replace(settings, graph_head_seconds=0)) as services:
                before = services.lookup.user("ann").staleness_seconds["statistics"]
                graph.apply(Batch(profiles=[profile("bob")]))
                after = services.lookup.user("ann").staleness_seconds["statistics"]
        assert before == 0
        assert after is not None
        assert after > 0

    def test_bounds(self) -> None:
        mark = Watermark(graph_id=GRAPH_ID, version=3, commit_time=1_000_000)
        now = 5_000_000
        newer = Head(version=4, commit_time=2_000_000)
        same = Head(version=3, commit_time=1_000_000)
        assert staleness_seconds(mark, (GRAPH_ID, newer), now) == 4
        assert staleness_seconds(mark, (GRAPH_ID, same), now) == 0
        assert staleness_seconds(mark, ("another", same), now) == 4
        assert staleness_seconds(mark, None, now) == 4
        assert staleness_seconds(mark, None, 0) == 0
