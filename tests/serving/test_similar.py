import numpy as np
import pytest

from featurestore.definitions import representation_name
from serving.errors import InvalidRequest, NoGeneration, UserUnknown
from serving.services import Services, open_services
from tests.serving.conftest import USERS
from tests.serving.published import COMMIT_TIME, Home, fused, random_vectors


def cosines(user: int) -> dict[str, float]:
    matrix = fused(random_vectors(len(USERS))).astype(np.float64)
    unit = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    return {USERS[row]: float(unit[row] @ unit[user]) for row in range(len(USERS)) if row != user}


class TestNearest:
    def test_is_the_order_of_cosines(self, services: Services) -> None:
        expected = cosines(USERS.index("cat"))
        answer = services.similar.nearest("cat", 10)
        assert [o.user_id for o in answer.similar] == sorted(expected, key=lambda u: -expected[u])
        for other in answer.similar:
            assert other.cosine == pytest.approx(expected[other.user_id], abs=1e-6)

    def test_k_are_the_first_k(self, services: Services) -> None:
        everyone = services.similar.nearest("ann", 4).similar
        for k in range(1, 5):
            assert services.similar.nearest("ann", k).similar == everyone[:k]

    def test_leaves_out_users_deleted_since(self, home: Home, services: Services) -> None:
        first = services.similar.nearest("ann", 4).similar
        home.online.erase([first[0].user_id], before=COMMIT_TIME)
        assert services.similar.nearest("ann", 3).similar == first[1:]
        assert services.similar.nearest("ann", 1).similar == first[1:2]

    def test_uses_the_vector_that_is_online_now(self, home: Home, services: Services) -> None:
        vectors = {name: rows[3:4] for name, rows in random_vectors(len(USERS)).items()}
        home.online.write(representation_name("g1"), ["ann"], vectors, commit_time=COMMIT_TIME + 1)
        nearest = services.similar.nearest("ann", 1).similar[0]
        assert nearest.user_id == "dan"
        assert nearest.cosine == pytest.approx(1, abs=1e-6)

    def test_a_user_that_the_index_does_not_have(self, home: Home, services: Services) -> None:
        vectors = {name: rows[:1] for name, rows in random_vectors(len(USERS)).items()}
        home.online.write(representation_name("g1"), ["new"], vectors, commit_time=COMMIT_TIME)
        assert services.similar.nearest("new", 1).similar[0].user_id == "ann"

    def test_the_last_user_has_nobody(self, home: Home, services: Services) -> None:
        home.online.erase(USERS[1:], before=COMMIT_TIME)
        assert services.similar.nearest("ann", 5).similar == []

    @pytest.mark.parametrize("k", [0, -1, 1001])
    def test_k_has_bounds(self, services: Services, k: int) -> None:
        with pytest.raises(InvalidRequest, match=f"k is {k}"):
            services.similar.nearest("ann", k)

    def test_unknown_and_without_vectors(self, home: Home, services: Services) -> None:
        with pytest.raises(UserUnknown, match="no user 'zoe'"):
            services.similar.nearest("zoe", 1)
        home.write_statistics(["new"])
        with pytest.raises(UserUnknown, match="no representation"):
            services.similar.nearest("new", 1)

    def test_before_the_first_generation(self, empty_home: Home) -> None:
        empty_home.write_statistics(["ann"])
        with (
            open_services(empty_home.serving_settings) as services,
            pytest.raises(NoGeneration, match="mmga train"),
        ):
            services.similar.nearest("ann", 1)
