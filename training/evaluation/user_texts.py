"""The texts of each user, for the text baselines.

N users, P posts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix, spmatrix

from graphdb.snapshot.snapshot import Snapshot
from training.inputs.captions import PinnedTexts


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


def read_user_texts(snapshot: Snapshot, texts: PinnedTexts) -> UserTexts:
    """Read the pinned captions and biographies of the users of a snapshot."""
    captions = iter(texts.captions)
    num_posts_N = np.diff(snapshot.post_indptr).tolist()
    return UserTexts(
        posts=["\n".join(islice(captions, num_posts)) for num_posts in num_posts_N],
        biographies=list(texts.biographies),
    )


def tfidf(texts: Sequence[str]) -> Any:
    """TF-IDF (N, words), logarithmic in the count of a word; no column where there are no words."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(min_df=2, sublinear_tf=True)
    try:
        return vectorizer.fit_transform(texts)
    except ValueError:
        # scikit-learn raises this if no word is in two texts.
        return csr_matrix((len(texts), 0))
