"""The words of each user, for the baselines that read nothing else.

N users, P posts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

from scipy.sparse import csr_matrix, spmatrix

from graphdb.snapshot.snapshot import Snapshot
from graphdb.store import GraphStore
from training.inputs.caption_tokens import read_captions

PAGE = 4096


@dataclass(frozen=True, kw_only=True)
class UserTexts:
    """All captions of each user as one text, and the biographies, (N,) each."""

    posts: Sequence[str]
    biographies: Sequence[str]

    @cached_property
    def post_tfidf(self) -> spmatrix:
        """TF-IDF of the posts, (N, words), rows of length 1."""
        return tfidf(self.posts)

    @cached_property
    def biography_tfidf(self) -> spmatrix:
        """TF-IDF of the biographies, (N, words), rows of length 1."""
        return tfidf(self.biographies)


def read_user_texts(store: GraphStore, snapshot: Snapshot) -> UserTexts:
    """Read captions and biographies of the users of a snapshot, as they are now."""
    captions = read_captions(store, snapshot)
    starts = snapshot.post_indptr.tolist()
    biographies: dict[str, str] = {}
    for start in range(0, snapshot.num_users, PAGE):
        for profile in store.profiles(snapshot.user_ids[start : start + PAGE]):
            biographies[profile.user_id] = profile.biography or ""
    return UserTexts(
        posts=["\n".join(captions[start:stop]) for start, stop in pairwise(starts)],
        biographies=[biographies.get(user_id, "") for user_id in snapshot.user_ids],
    )


def tfidf(texts: Sequence[str]) -> Any:
    """TF-IDF (N, words), logarithmic in the count of a word; no column where there are no words."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(min_df=2, sublinear_tf=True)
    try:
        return vectorizer.fit_transform(texts)
    except ValueError:
        # So scikit-learn says that no word stands in two texts.
        return csr_matrix((len(texts), 0))
