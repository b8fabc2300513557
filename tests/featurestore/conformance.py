"""What every online store must do; a backend's tests subclass this and give an opener."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from featurestore.errors import FeatureInvalid, StoreUnavailable
from featurestore.online.pointer import Pointer
from featurestore.online.store import OnlineStore
from foundation.watermark import Watermark
from tests.featurestore.activation import make_active

VIEW = "user_activity"
OTHER_VIEW = "user_representation_g1"
Opener = Callable[..., OnlineStore]

ALL_KINDS: dict[str, NDArray[Any]] = {
    "vector": np.array([[1.5, -2.0, 0.0], [3e-45, np.inf, 1e38]], np.float32),
    "single": np.array([0.1, -0.0], np.float32),
    "double": np.array([0.1, 1e300]),
    "integer": np.array([-(2**63), 2**63 - 1]),
    "flag": np.array([True, False]),
    "moment": np.array(["2026-11-21T10:00:00", "1970-01-01T00:00:00"], "datetime64[s]"),
    "name": np.array(["", "Zoë \U0001f600"], object),
}

user_ids = st.lists(
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8),
    min_size=1,
    max_size=6,
    unique=True,
)


@dataclass(slots=True)
class Oracle:
    """An online store as a dictionary."""

    rows: dict[tuple[str, str], tuple[int, dict[str, float]]] = field(default_factory=dict)

    def write(self, view: str, users: Sequence[str], values: Mapping[str, float], time: int) -> int:
        fresh = [user for user in users if self.rows.get((view, user), (-1, {}))[0] <= time]
        for user in fresh:
            old = self.rows.get((view, user), (-1, {}))[1]
            self.rows[view, user] = (time, {**old, **values})
        return len(fresh)

    def delete(self, views: Sequence[str], users: Sequence[str], before: int) -> int:
        old = [
            (view, user)
            for view in views
            for user in users
            if self.rows.get((view, user), (before + 1, {}))[0] <= before
        ]
        for key in old:
            del self.rows[key]
        return len(old)


class OnlineStoreConformance:
    """The contract of `featurestore.online.store.OnlineStore`.

    A backend overrides `opener`, and its module has a fixture `new_store`, of module scope for
    Hypothesis, that opens an empty store at each call.
    """

    @pytest.fixture
    def opened(self, opener: Opener) -> Iterator[OnlineStore]:
        store = opener()
        yield store
        store.close()

    @pytest.fixture
    def opener(self) -> Opener:
        """Opens the same store again and again, with `read_only` or another `project`."""
        raise NotImplementedError

    def test_every_kind_of_value_comes_back_as_it_was(self, opened: OnlineStore) -> None:
        assert opened.write(VIEW, ["a", "b"], ALL_KINDS, commit_time=5) == 2
        rows = opened.read(VIEW, ["b", "a"], list(ALL_KINDS))
        for name, column in ALL_KINDS.items():
            assert rows.features[name].dtype == column.dtype
            np.testing.assert_array_equal(rows.features[name], column[::-1])
            assert rows.known[name].all()
        assert rows.present.tolist() == [True, True]
        assert rows.commit_times.tolist() == [5, 5]

    def test_missing_is_explicit(self, opened: OnlineStore) -> None:
        opened.write(VIEW, ["a", "b"], ALL_KINDS, commit_time=5)
        rows = opened.read(VIEW, ["nobody", "a", "nobody"], [*ALL_KINDS, "unheard_of"])
        assert rows.present.tolist() == [False, True, False]
        assert rows.commit_times.tolist() == [0, 5, 0]
        assert all(rows.known[name].tolist() == [False, True, False] for name in ALL_KINDS)
        assert not rows.known["unheard_of"].any()
        assert np.isnan(rows.features["vector"][[0, 2]]).all()
        assert rows.features["vector"].shape == (3, 3)
        assert rows.features["name"].tolist() == ["", "", ""]

    def test_nobody_is_present_in_an_unknown_view(self, opened: OnlineStore) -> None:
        rows = opened.read("never_written", ["a"], ["x"])
        assert (rows.present.tolist(), rows.known["x"].tolist()) == ([False], [False])
        assert list(opened.user_ids("never_written")) == []
        assert opened.delete("never_written", ["a"], before=2**60) == 0

    def test_asking_for_nobody_or_nothing(self, opened: OnlineStore) -> None:
        opened.write(VIEW, ["a"], {"x": np.ones(1)}, commit_time=5)
        assert opened.write(VIEW, [], {"x": np.ones(0)}, commit_time=5) == 0
        assert opened.read(VIEW, [], ["x"]).present.shape == (0,)
        assert opened.read(VIEW, ["a", "b"], []).present.tolist() == [True, False]

    def test_repeated_users_are_answered_each_time(self, opened: OnlineStore) -> None:
        opened.write(VIEW, ["a", "b"], {"x": np.array([1.0, 2.0])}, commit_time=5)
        rows = opened.read(VIEW, ["b", "a", "b", "c", "b"], ["x"])
        np.testing.assert_array_equal(rows.features["x"], [2, 1, 2, np.nan, 2])

    def test_of_a_user_given_twice_the_last_row_stands(self, opened: OnlineStore) -> None:
        opened.write(VIEW, ["a", "a"], {"x": np.array([1.0, 2.0])}, commit_time=5)
        assert opened.read(VIEW, ["a"], ["x"]).features["x"].tolist() == [2.0]

    @pytest.mark.parametrize("later", [1, 999_999, 1_000_000])
    def test_the_newest_microsecond_wins_whatever_the_order(
        self, opened: OnlineStore, later: int
    ) -> None:
        time = 1_700_000_000_000_000
        opened.write(VIEW, ["a"], {"x": np.array([2.0])}, commit_time=time + later)
        assert opened.write(VIEW, ["a", "b"], {"x": np.array([1.0, 1.0])}, commit_time=time) == 1
        rows = opened.read(VIEW, ["a", "b"], ["x"])
        assert rows.features["x"].tolist() == [2.0, 1.0]
        assert rows.commit_times.tolist() == [time + later, time]

    def test_an_equal_commit_time_rewrites(self, opened: OnlineStore) -> None:
        for value in (1.0, 2.0):
            assert opened.write(VIEW, ["a"], {"x": np.array([value])}, commit_time=7) == 1
        assert opened.read(VIEW, ["a"], ["x"]).features["x"].tolist() == [2.0]

    def test_a_row_is_deleted_up_to_its_commit_time(self, opened: OnlineStore) -> None:
        opened.write(VIEW, ["a", "b"], {"x": np.ones(2)}, commit_time=7)
        assert opened.delete(VIEW, ["a", "b", "nobody"], before=6) == 0
        assert opened.delete(VIEW, ["a", "a"], before=7) == 1
        assert opened.read(VIEW, ["a", "b"], ["x"]).present.tolist() == [False, True]

    def test_a_deleted_user_may_come_back(self, opened: OnlineStore) -> None:
        opened.write(VIEW, ["a"], {"x": np.ones(1), "y": np.ones(1)}, commit_time=7)
        opened.delete(VIEW, ["a"], before=8)
        opened.write(VIEW, ["a"], {"x": np.ones(1)}, commit_time=9)
        rows = opened.read(VIEW, ["a"], ["x", "y"])
        assert (rows.known["x"].tolist(), rows.known["y"].tolist()) == ([True], [False])

    def test_erasure_reaches_every_view_of_its_project_alone(self, opener: Opener) -> None:
        for project in ("plat", "my_plat"):
            store = opener(project=project)
            for view in (VIEW, OTHER_VIEW):
                store.write(view, ["a", "b"], {"x": np.ones(2)}, commit_time=7)
            store.close()
        store, neighbour = opener(project="plat"), opener(project="my_plat")
        assert store.erase(["a"], before=7) == 2
        assert sorted(store.views()) == [VIEW, OTHER_VIEW]
        for view in (VIEW, OTHER_VIEW):
            assert store.read(view, ["a", "b"], ["x"]).present.tolist() == [False, True]
            assert neighbour.read(view, ["a", "b"], ["x"]).present.all()
        store.close()
        neighbour.close()

    def test_a_dropped_view_is_gone(self, opened: OnlineStore) -> None:
        opened.write(VIEW, ["a"], {"x": np.ones(1)}, commit_time=7)
        opened.write(OTHER_VIEW, ["a"], {"x": np.ones(1)}, commit_time=7)
        opened.drop_view(VIEW)
        opened.drop_view(VIEW)
        assert not opened.read(VIEW, ["a"], ["x"]).present.any()
        assert opened.read(OTHER_VIEW, ["a"], ["x"]).present.all()
        assert opened.views() == [OTHER_VIEW]

    def test_all_users_are_listed_once_in_pages(self, opened: OnlineStore) -> None:
        users = [f"user{number}" for number in range(25_000)]
        columns = {name: np.zeros(len(users), np.float32) for name in ("x", "y")}
        assert opened.write(VIEW, users, columns, commit_time=7) == 25_000
        pages = list(opened.user_ids(VIEW))
        assert max(map(len, pages)) < 10_100  # Redis ends a scan with a whole bucket of keys
        assert sorted(user for page in pages for user in page) == sorted(users)
        rows = opened.read(VIEW, users, ["x"])
        assert rows.present.all()

    def test_watermarks_and_the_active_generation_last(self, opener: Opener) -> None:
        store = opener()
        assert (store.watermark("statistics"), store.pointer().active) == (None, None)
        mark = Watermark(graph_id="g", version=3, commit_time=2**60)
        store.set_watermark("statistics", mark)
        store.set_watermark("refresh", Watermark(graph_id="g", version=9, commit_time=1))
        make_active(store, "g1")
        make_active(store, "g2")
        store.close()
        again = opener(read_only=True)
        assert again.watermark("statistics") == mark
        assert again.pointer().active == "g2"
        again.close()
        other = opener(project="other")
        assert (other.watermark("statistics"), other.pointer().active) == (None, None)
        other.close()

    def test_the_pointer_keeps_who_was_active_before(self, opened: OnlineStore) -> None:
        assert opened.pointer() == Pointer()
        opened.change_pointer(lambda found: found.activated("g1", reason="first", time=1))
        opened.change_pointer(lambda found: found.activated("g2", reason="better", time=2))
        again = opened.change_pointer(lambda found: found.activated("g2", reason="late", time=3))
        assert again == opened.pointer()
        assert again == Pointer(active="g2", previous="g1", reason="better", time=2)
        with pytest.raises(FeatureInvalid):
            opened.change_pointer(lambda found: found.activated("G 3", reason="", time=4))
        assert opened.pointer() == again

    def test_changes_of_the_pointer_at_once_lose_nothing(self, opener: Opener) -> None:
        stores = [opener() for _ in range(4)]
        numbers = range(len(stores))

        def change(number: int) -> None:
            for each in range(10):
                stores[number].change_pointer(
                    lambda found, each=each: found.with_pin(f"g{number}_{each}").activated(
                        f"g{number}", reason="", time=each
                    )
                )

        with ThreadPoolExecutor(len(stores)) as threads:
            list(threads.map(change, numbers))
        pointer = stores[0].pointer()
        assert pointer.pinned == tuple(
            f"g{number}_{each}" for number in numbers for each in range(10)
        )
        assert pointer.active is not None
        assert pointer.previous not in (None, pointer.active)
        unpinned = stores[1].change_pointer(lambda found: found.without_pin("g1_3"))
        assert "g1_3" not in unpinned.pinned
        for store in stores:
            store.close()

    def test_a_watermark_is_forgotten(self, opened: OnlineStore) -> None:
        mark = Watermark(graph_id="g", version=3, commit_time=2**60)
        opened.set_watermark("statistics", mark)
        opened.set_watermark("refresh", mark)
        opened.drop_watermark("refresh")
        opened.drop_watermark("refresh")
        assert (opened.watermark("refresh"), opened.watermark("statistics")) == (None, mark)

    def test_a_reader_sees_what_is_written_after_it_opened(self, opener: Opener) -> None:
        writer = opener()
        reader = opener(read_only=True)
        assert not reader.read(VIEW, ["a"], ["x"]).present.any()
        writer.write(VIEW, ["a"], {"x": np.ones(1)}, commit_time=1)
        assert reader.read(VIEW, ["a"], ["x"]).present.all()
        with pytest.raises(StoreUnavailable, match="reading only"):
            reader.write(VIEW, ["a"], {"x": np.ones(1)}, commit_time=2)
        reader.close()
        writer.close()

    @pytest.mark.parametrize(
        "features",
        [
            {"x": np.ones(3)},
            {"x": np.ones((2, 2, 2))},
            {"x": np.array([1 + 2j, 0])},
            {"x": np.array([2**63, 0], np.uint64)},
            {"X; DROP TABLE": np.ones(2)},
            {"x": [b"bytes", b"bytes"]},
        ],
    )
    def test_what_does_not_fit_is_refused_and_nothing_written(
        self, opened: OnlineStore, features: dict[str, Any]
    ) -> None:
        with pytest.raises(FeatureInvalid):
            opened.write(VIEW, ["a", "b"], features, commit_time=1)
        assert not opened.read(VIEW, ["a", "b"], ["x"]).present.any()

    def test_names_of_views_are_checked(self, opened: OnlineStore) -> None:
        with pytest.raises(FeatureInvalid):
            opened.write('v"; DROP', ["a"], {"x": np.ones(1)}, commit_time=1)

    @given(data=st.data(), users=user_ids)
    @settings(suppress_health_check=[HealthCheck.differing_executors, HealthCheck.too_slow])
    def test_any_history_ends_like_the_oracle(
        self, new_store: Callable[[], OnlineStore], data: st.DataObject, users: list[str]
    ) -> None:
        store, oracle = new_store(), Oracle()
        times = st.sampled_from([0, 1, 2, 999_999, 1_000_000, 1_000_001, 10**15, 10**15 + 1])
        some = st.lists(st.sampled_from(users), min_size=1, unique=True)
        names = st.sets(st.sampled_from(["x", "y"]), min_size=1)
        views = st.sampled_from([VIEW, OTHER_VIEW])
        for step in range(data.draw(st.integers(1, 8))):
            view, who, time = data.draw(views), data.draw(some), data.draw(times)
            action = data.draw(st.sampled_from(["write", "write", "delete", "erase"]))
            if action == "write":
                values = {name: float(step) for name in data.draw(names)}
                columns = {name: np.full(len(who), value) for name, value in values.items()}
                done = store.write(view, who, columns, commit_time=time)
                assert done == oracle.write(view, who, values, time)
            elif action == "delete":
                assert store.delete(view, who, before=time) == oracle.delete([view], who, time)
            else:
                everywhere = [VIEW, OTHER_VIEW]
                assert store.erase(who, before=time) == oracle.delete(everywhere, who, time)
        for view in (VIEW, OTHER_VIEW):
            assert_equal_rows(store, oracle, view, users)
        store.close()


def assert_equal_rows(store: OnlineStore, oracle: Oracle, view: str, users: list[str]) -> None:
    """The store has exactly the oracle's rows of a view."""
    rows = store.read(view, users, ["x", "y"])
    expected = [oracle.rows.get((view, user)) for user in users]
    assert rows.present.tolist() == [row is not None for row in expected]
    assert rows.commit_times.tolist() == [0 if row is None else row[0] for row in expected]
    for name in ("x", "y"):
        values = [np.nan if row is None else row[1].get(name, np.nan) for row in expected]
        np.testing.assert_array_equal(rows.features[name], values)
    listed = [user for page in store.user_ids(view) for user in page]
    assert sorted(listed) == sorted(user for each, user in oracle.rows if each == view)
