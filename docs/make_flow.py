"""Draws docs/flow.svg, the picture of the README: `python docs/make_flow.py`."""

from pathlib import Path
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 1120, 330
BOX_WIDTH, BOX_HEIGHT = 172, 74
COLUMNS, ROWS = (16, 245, 474, 703, 932), (30, 130, 230)

BOXES = {
    "events": (0, 1, "Events", "posts, follows, labels", "Kafka · files"),
    "graph": (1, 1, "Social graph", "each event exactly once", "Neo4j · SQLite"),
    "statistics": (2, 0, "Statistics", "numbers on each user", "change feed"),
    "training": (2, 2, "Training", "pictures, words, follows", "MMGA on Ray Train"),
    "generation": (3, 2, "Generation", "model, heads, evaluation", "sealed"),
    "features": (3, 1, "Online features", "statistics and vectors", "Feast on Redis · SQLite"),
    "services": (4, 1, "Services", "ranking, ads, integrity", "HTTP · stock Feast"),
}
ARROWS = (
    ("events", "graph", ""),
    ("graph", "statistics", "feed"),
    ("graph", "training", "snapshot"),
    ("statistics", "features", ""),
    ("training", "generation", ""),
    ("generation", "features", ""),
    ("features", "services", ""),
)
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #475569; text-anchor: middle }
.name { font-size: 16px; font-weight: 600; fill: #0f172a }
.backend { font-size: 12px; fill: #0369a1 }
rect { fill: #f8fafc; stroke: #94a3b8; rx: 10px }
path { fill: none; stroke: #64748b; stroke-width: 1.6; marker-end: url(#head) }
"""


def corner(name: str) -> tuple[int, int]:
    """The upper left corner of a box."""
    column, row, *_ = BOXES[name]
    return COLUMNS[column], ROWS[row]


def box(name: str) -> str:
    """A box with its name, what it does, and what it runs on."""
    x, y = corner(name)
    _, _, title, what, backend = BOXES[name]
    middle = x + BOX_WIDTH // 2
    return (
        f'<rect x="{x}" y="{y}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}"/>'
        f'<text class="name" x="{middle}" y="{y + 25}">{escape(title)}</text>'
        f'<text x="{middle}" y="{y + 44}">{escape(what)}</text>'
        f'<text class="backend" x="{middle}" y="{y + 62}">{escape(backend)}</text>'
    )


def arrow(start: str, end: str, label: str) -> str:
    """An arrow between two boxes, straight down or up within a column, else from side to side."""
    (x1, y1), (x2, y2) = corner(start), corner(end)
    if x1 == x2:
        x, down = x1 + BOX_WIDTH // 2, y2 > y1
        ends = (y1 + BOX_HEIGHT, y2 - 4) if down else (y1, y2 + BOX_HEIGHT + 4)
        return f'<path d="M {x} {ends[0]} L {x} {ends[1]}"/>'
    left, right = x1 + BOX_WIDTH, x2 - 4
    middle, a, b = (left + right) // 2, y1 + BOX_HEIGHT // 2, y2 + BOX_HEIGHT // 2
    text = (
        f'<text x="{middle - 16}" y="{b - 10 if b < a else b + 14}">{escape(label)}</text>'
        if label
        else ""
    )
    return f'<path d="M {left} {a} C {middle} {a}, {middle} {b}, {right} {b}"/>{text}'


def flow() -> str:
    """The whole picture as SVG."""
    head = (
        '<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M 0 0 L 8 4 L 0 8 z" style="fill:#64748b;stroke:none"/></marker>'
    )
    parts = [arrow(*each) for each in ARROWS] + [box(name) for name in BOXES]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="Events to graph, features and representations">'
        f"<style>{STYLE}</style><defs>{head}</defs>"
        f'<rect width="{WIDTH}" height="{HEIGHT}" style="fill:#ffffff;stroke:none"/>'
        + "\n".join(parts)
        + "</svg>\n"
    )


if __name__ == "__main__":
    Path(__file__).with_name("flow.svg").write_text(flow(), encoding="utf-8")
