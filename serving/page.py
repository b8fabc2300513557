"""The page at `/`: what is served, and a look at one user. No script, no external asset."""

import base64
import hashlib
from collections.abc import Iterable
from html import escape
from urllib.parse import quote

import numpy as np
from fastapi import FastAPI, Response

from featurestore.definitions import MODALITIES
from featurestore.errors import FeatureStoreError
from serving.errors import ServingError
from serving.features import SimilarAnswer, UserFeatures, Vector
from serving.rows import VECTORS
from serving.services import Services
from serving.staleness import in_words

NUM_SIMILAR = 10
NUM_BARS = 48
NUM_EXAMPLES = 8

STYLE = """
:root { color-scheme: light dark; --ink: #1d2733; --soft: #5b6776; --line: #d9dfe6;
  --ground: #f6f8fa; --card: #fff; --accent: #0b61a4; --bad: #a32020; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6ebf1; --soft: #9aa7b5; --line: #323c48;
  --ground: #12171d; --card: #1a212a; --accent: #6cb6f5; --bad: #ff9a9a; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 16px/1.5 system-ui, "DejaVu Sans", sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 1.5rem 1rem 3rem; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; }
h2 { font-size: 1.1rem; margin: 0 0 .75rem; overflow-wrap: anywhere; }
p { margin: 0 0 1rem; } p:last-child { margin-bottom: 0; } form + p { margin-top: .6rem; }
.soft { color: var(--soft); }
.card { background: var(--card); border: 1px solid var(--line); border-radius: .6rem;
  padding: 1rem 1.25rem; margin-top: 1rem; }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr));
  gap: 0 1rem; align-items: start; }
dl { display: grid; grid-template-columns: minmax(8rem, max-content) 1fr; gap: .25rem 1rem;
  margin: 0; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
form { display: flex; flex-wrap: wrap; gap: .6rem; align-items: end; }
form div { flex: 1 1 14rem; }
label { display: block; font-weight: 600; margin-bottom: .25rem; }
input, button { font: inherit; padding: .5rem .75rem; border-radius: .4rem; }
input { width: 100%; border: 1px solid var(--soft); background: var(--card); color: inherit; }
button { border: 1px solid var(--accent); background: var(--accent); color: var(--card);
  font-weight: 600; cursor: pointer; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
table { width: 100%; border-collapse: collapse; }
th, td { text-align: left; padding: .3rem .5rem .3rem 0; border-top: 1px solid var(--line);
  overflow-wrap: anywhere; }
thead th { border-top: 0; color: var(--soft); font-weight: 600; }
tbody th { font-weight: 400; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
a { color: var(--accent); }
svg { display: block; width: 100%; height: 2rem; fill: var(--accent); }
.bad { color: var(--bad); font-weight: 600; }
"""

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


def add_page(app: FastAPI, services: Services) -> None:
    """Serve the page at `/`, with `?user=` for one user."""

    @app.get("/", include_in_schema=False)
    def page(user: str = "") -> Response:
        """Status, and one user where one is named."""
        found, message = "", ""
        try:
            found = user_section(services, user) if user else examples(services)
        except (ServingError, FeatureStoreError) as error:
            message = str(error) if isinstance(error, ServingError) else "not readable now"
        body = document(status_section(services), form_section(user, message), found)
        return Response(
            body, status_code=404 if message else 200, media_type="text/html", headers=HEADERS
        )


def document(*sections: str) -> str:
    """A whole page."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>mmga · user features</title><style>{STYLE}</style></head><body><main>"
        "<h1>User features</h1>"
        '<p class="soft">Representations and statistics, as downstream services get them.</p>'
        f"{''.join(sections)}</main></body></html>"
    )


def status_section(services: Services) -> str:
    """The active generation and what it was made from."""
    try:
        generation = services.published.active()
    except FeatureStoreError:
        return card("Status", '<p class="bad">The feature store cannot be read now.</p>')
    if generation is None:
        return card(
            "Status",
            '<p class="bad">No generation is active.</p>'
            '<p class="soft">Run <code>mmga train</code> to make one. Statistics are served '
            "without it.</p>",
        )
    widths = " · ".join(f"{name} {generation.dims[name]}" for name in MODALITIES)
    return card(
        "Status",
        definitions(
            [
                ("Active generation", generation.id),
                ("Trained on graph version", f"{generation.published_to.version:,}"),
                ("Widths of the vectors", widths),
            ]
        ),
    )


def form_section(user: str, message: str) -> str:
    """The field for a user id, and what was wrong with the last one."""
    note = f'<p id="note" class="bad" role="alert">{escape(message)}</p>' if message else ""
    described = ' aria-describedby="note" aria-invalid="true"' if message else ""
    return card(
        "Look up a user",
        f'<form action="/" method="get" role="search"><div><label for="user">User id</label>'
        f'<input id="user" name="user" value="{escape(user)}" required maxlength="256" '
        f'autocomplete="off" spellcheck="false"{described}></div>'
        f"<button>Look up</button></form>{note}",
    )


def examples(services: Services) -> str:
    """Links to a few users of the active generation, for whoever knows no id."""
    generation = services.published.active()
    if generation is None:
        return ""
    first = list(services.published.index(generation).user_ids[:NUM_EXAMPLES])
    links = [link(user.user_id) for user in services.lookup.users(first).users] if first else []
    return card("For example", f"<p>{' · '.join(links)}</p>") if links else ""


def link(user_id: str) -> str:
    """A user id that leads to the user."""
    return f'<a href="/?user={quote(user_id, safe="")}">{escape(user_id)}</a>'


def user_section(services: Services, user_id: str) -> str:
    """One user: vectors, statistics and similar users."""
    features = services.lookup.user(user_id)
    similar = None
    if features.representation is not None:
        similar = services.similar.nearest(user_id, NUM_SIMILAR)
    return (
        f'{card(f"User {escape(user_id)}", provenance(features))}<div class="columns"><div>'
        f"{card('Vectors', vectors_table(features))}{card('Similar users', similar_table(similar))}"
        f"</div>{card('Statistics', statistics_table(features))}</div>"
    )


def provenance(features: UserFeatures) -> str:
    """Where the user's features come from."""
    rows = [("Generation", features.generation or "none yet")]
    if features.graph_version is not None:
        rows.append(("Graph version", f"{features.graph_version:,}"))
    if features.computed_at is not None:
        rows.append(("Computed at", f"{features.computed_at:%Y-%m-%d %H:%M:%S} UTC"))
    if features.provisional:
        rows.append(("Provisional", "yes: not all inputs were there"))
    if features.missing:
        reasons = ", ".join(
            f"{name} ({reason.replace('_', ' ')})" for name, reason in features.missing.items()
        )
        rows.append(("Missing", reasons))
    rows.append(("Staleness", in_words(features.staleness_seconds)))
    return definitions(rows)


def vectors_table(features: UserFeatures) -> str:
    """Norm and first values of each vector."""
    rows = []
    for name in VECTORS:
        vector: Vector | None = getattr(features, name)
        if vector is None:
            rows.append((escape(name), '<span class="soft">missing</span>', ""))
        else:
            rows.append((escape(name), bars(name, vector), f"{np.linalg.norm(vector):.3f}"))
    return table(("Vector", "First values", "Norm"), rows)


def bars(name: str, vector: Vector) -> str:
    """The first values of a vector (D,) as a small bar chart."""
    values = vector[:NUM_BARS]
    largest = max(float(np.abs(values).max(initial=0.0)), 1e-12)
    rectangles = "".join(
        f'<rect x="{4 * column}" y="{20 - max(height, 0):.1f}" width="3" '
        f'height="{abs(height):.1f}"/>'
        for column, height in enumerate((values / largest * 20).tolist())
    )
    return (
        f'<svg viewBox="0 0 {4 * NUM_BARS} 40" preserveAspectRatio="none" role="img" '
        f'aria-label="first {len(values)} of {len(vector)} values of {escape(name)}">'
        f"{rectangles}</svg>"
    )


def statistics_table(features: UserFeatures) -> str:
    """The statistics X of the user."""
    if features.statistics is None:
        return '<p class="soft">missing</p>'
    rows = [
        (escape(name.replace("_", " ")), "" if value is None else f"{value:,.4g}")
        for name, value in features.statistics.items()
    ]
    return table(("Statistic", "Value"), rows)


def similar_table(answer: SimilarAnswer | None) -> str:
    """The nearest users, each a link to its own page."""
    if answer is None:
        return '<p class="soft">no representation to compare</p>'
    if not answer.similar:
        return '<p class="soft">nobody else has a representation</p>'
    rows = [(link(other.user_id), f"{other.cosine:.3f}") for other in answer.similar]
    return table(("User", "Cosine"), rows)


def card(title: str, content: str) -> str:
    """A titled box; the title is HTML."""
    return f'<section class="card"><h2>{title}</h2>{content}</section>'


def definitions(rows: Iterable[tuple[str, str]]) -> str:
    """Names and values, both plain text."""
    items = (f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in rows)
    return f"<dl>{''.join(items)}</dl>"


def table(headings: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A table of HTML cells: the first heads its row, the last is a number."""
    last = len(headings) - 1

    def class_of(column: int) -> str:
        return ' class="number"' if column == last else ""

    head = "".join(f'<th scope="col"{class_of(i)}>{name}</th>' for i, name in enumerate(headings))
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>'
        + "".join(f"<td{class_of(i)}>{cell}</td>" for i, cell in enumerate(row[1:], 1))
        + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
