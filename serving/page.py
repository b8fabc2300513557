"""The page at `/`: the active generation and the features of one user.

The templates in `templates/` escape every value. The page loads no script and no other file.
"""

import base64
import hashlib
from dataclasses import dataclass
from typing import Self

import numpy as np
from fastapi import FastAPI, Response
from jinja2 import Environment, PackageLoader, StrictUndefined

from featurestore.errors import FeatureStoreError
from serving.errors import ServingError
from serving.features import SimilarAnswer, UserFeatures, Vector
from serving.identifiers import is_user_id
from serving.outage_log import OutageLog
from serving.published import PublishedGeneration
from serving.responses import STATUS_CODES
from serving.rows import VECTORS
from serving.services import Services
from serving.staleness import in_words

NUM_SIMILAR = 10
NUM_BARS = 48
BAR_STEP = 4
CHART_HALF_HEIGHT = 20
NUM_EXAMPLES = 8

TEMPLATES = Environment(
    loader=PackageLoader("serving"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
STYLE = TEMPLATES.get_template("page.css").render()
STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{STYLE_HASH}'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The active generation, None before the first, and whether the store can be read."""

    generation: PublishedGeneration | None
    is_readable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One value of a vector, as a rectangle above or below the middle of its chart."""

    x: int
    y: float
    height: float


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorChart:
    """A vector (D,): its width and norm, and a bar for each of its first values."""

    width: int
    norm: float
    bars: list[Bar]

    @classmethod
    def of(cls, vector: Vector) -> Self:
        """Scale the bars so that the largest value fills its half of the chart."""
        values = vector[:NUM_BARS]
        largest = max(float(np.abs(values).max(initial=0.0)), 1e-12)
        heights = (values / largest * CHART_HALF_HEIGHT).tolist()
        return cls(
            width=len(vector),
            norm=float(np.linalg.norm(vector)),
            bars=[
                Bar(x=BAR_STEP * column, y=CHART_HALF_HEIGHT - max(height, 0), height=abs(height))
                for column, height in enumerate(heights)
            ],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class UserSection:
    """What the page shows of one user; a chart is None where the vector is missing."""

    features: UserFeatures
    staleness: str
    charts: dict[str, VectorChart | None]
    similar: SimilarAnswer | None


def add_page(app: FastAPI, services: Services, outages: OutageLog) -> None:
    """Serve the page at `/`, with `?user=` for one user."""

    @app.get("/", include_in_schema=False)
    def page(user: str = "") -> Response:
        """The active generation, and one user where the query names one."""
        section, user_ids, message, status_code = None, [], "", 200
        try:
            if user:
                section = user_section(services, user)
            else:
                user_ids = example_ids(services)
        except ServingError as error:
            message, status_code = str(error), STATUS_CODES[type(error)]
        except FeatureStoreError as error:
            outages.tell(error)
            message, status_code = "not readable now", 503
        body = TEMPLATES.get_template("page.html").render(
            status=status(services),
            user_id=user if is_user_id(user) else "",
            message=message,
            user=section,
            examples=user_ids,
            chart_width=BAR_STEP * NUM_BARS,
            chart_height=2 * CHART_HALF_HEIGHT,
        )
        return Response(body, status_code=status_code, media_type="text/html", headers=HEADERS)


def status(services: Services) -> Status:
    """The active generation as it is now."""
    try:
        return Status(generation=services.published.active(), is_readable=True)
    except FeatureStoreError:
        return Status(generation=None, is_readable=False)


def example_ids(services: Services) -> list[str]:
    """The first users of the active generation that are still in the online store."""
    generation = services.published.active()
    if generation is None:
        return []
    first = list(services.published.index(generation).user_ids[:NUM_EXAMPLES])
    return [user.user_id for user in services.lookup.users(first).users] if first else []


def user_section(services: Services, user_id: str) -> UserSection:
    """The features of one user and the users most similar to it.

    Raises UserUnknown, InvalidRequest.
    """
    features = services.lookup.user(user_id)
    vectors: dict[str, Vector | None] = {name: getattr(features, name) for name in VECTORS}
    has_representation = features.representation is not None
    return UserSection(
        features=features,
        staleness=in_words(features.staleness_seconds),
        charts={
            name: None if vector is None else VectorChart.of(vector)
            for name, vector in vectors.items()
        },
        similar=services.similar.nearest(user_id, NUM_SIMILAR) if has_representation else None,
    )
