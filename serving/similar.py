"""The users nearest to one, by cosine between representations."""

from featurestore.generations.base_index import BaseIndex
from featurestore.online.store import OnlineStore
from serving.errors import InvalidRequest, UserUnknown
from serving.features import SimilarAnswer, SimilarUser, Vector
from serving.identifiers import checked_user_id, shown
from serving.lookup import Lookup
from serving.published import PublishedGeneration, PublishedGenerations

PROBE = "graph_version"
"""The smallest feature of a row of vectors; users without it have been deleted."""


class SimilarUsers:
    """Searches the base index of the active generation: the users that it was published with."""

    def __init__(
        self,
        *,
        online: OnlineStore,
        published: PublishedGenerations,
        lookup: Lookup,
        max_neighbours: int,
    ) -> None:
        self._online = online
        self._published = published
        self._lookup = lookup
        self._max_neighbours = max_neighbours

    def nearest(self, user_id: str, k: int) -> SimilarAnswer:
        """The k nearest users, nearest first: never the user itself, nor one deleted since.

        The query is the user's vector in the online store, which may be newer than the index.
        Raises NoGeneration, UserUnknown when the user has no representation, InvalidRequest.
        """
        checked_user_id(user_id)
        if not 1 <= k <= self._max_neighbours:
            raise InvalidRequest(f"k is {k}: ask for 1 to {self._max_neighbours} users")
        generation = self._published.required()
        query = self._representation(generation, user_id)
        similar = self._present(generation, self._published.index(generation), query, user_id, k)
        return SimilarAnswer(user_id=user_id, generation=generation.id, similar=similar)

    def _representation(self, generation: PublishedGeneration, user_id: str) -> Vector:
        answer = self._lookup.users_in(generation, [user_id])
        if answer.unknown:
            raise UserUnknown(f"no user {shown(user_id)} in the online store")
        vector = answer.users[0].representation
        if vector is None:
            raise UserUnknown(
                f"user {shown(user_id)} has no representation in generation {generation.id} yet"
            )
        return vector

    def _present(
        self,
        generation: PublishedGeneration,
        index: BaseIndex,
        query: Vector,
        user_id: str,
        k: int,
    ) -> list[SimilarUser]:
        """The nearest k that still have vectors online; doubles the search until there are k."""
        wanted = k
        while True:
            found = index.top_k(query, wanted, exclude=[user_id])
            present = self._still_present(generation, [other for other, _ in found])
            kept = [
                SimilarUser(user_id=other, cosine=cosine)
                for (other, cosine), is_present in zip(found, present, strict=True)
                if is_present
            ]
            if len(kept) >= k or len(found) < wanted:
                return kept[:k]
            wanted *= 2

    def _still_present(self, generation: PublishedGeneration, user_ids: list[str]) -> list[bool]:
        rows = self._online.read(generation.view, user_ids, [PROBE])
        return [bool(present) for present in rows.present]
