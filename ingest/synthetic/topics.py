"""What the made-up people talk about: words, colours and shapes of each topic."""

from dataclasses import dataclass
from typing import Literal

Shape = Literal["wheel", "loaf", "stars", "leaf", "ball", "keys"]
Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """One topic."""

    name: str
    shape: Shape
    background: Colour
    ink: Colour
    words: tuple[str, ...]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


TOPICS = (
    Topic(
        name="cycling",
        shape="wheel",
        background=(214, 232, 244),
        ink=(20, 60, 130),
        words=_words(
            "bike ride climb gravel peloton saddle descent wheel chain tyre sprint cadence"
            " mountain road pedal helmet stage breakaway tailwind summit"
        ),
    ),
    Topic(
        name="baking",
        shape="loaf",
        background=(250, 235, 205),
        ink=(150, 90, 35),
        words=_words(
            "bread dough sourdough oven flour crust butter pastry yeast croissant rye loaf"
            " cinnamon knead proof cake glaze crumb starter vanilla"
        ),
    ),
    Topic(
        name="astronomy",
        shape="stars",
        background=(18, 20, 48),
        ink=(250, 240, 180),
        words=_words(
            "telescope galaxy nebula comet orbit planet eclipse moon star lens exposure"
            " meteor saturn cluster aurora sky constellation crater rings dusk"
        ),
    ),
    Topic(
        name="gardening",
        shape="leaf",
        background=(225, 242, 215),
        ink=(40, 120, 45),
        words=_words(
            "tomato seedling compost bloom prune soil tulip greenhouse harvest mulch basil"
            " hedge orchard rose pollinator trellis sprout rain bulb weed"
        ),
    ),
    Topic(
        name="football",
        shape="ball",
        background=(85, 160, 75),
        ink=(245, 245, 245),
        words=_words(
            "match goal penalty keeper derby stadium pass striker corner league whistle"
            " midfield header referee trophy tackle kickoff fans scarf replay"
        ),
    ),
    Topic(
        name="jazz",
        shape="keys",
        background=(70, 25, 60),
        ink=(235, 200, 120),
        words=_words(
            "trumpet quartet swing piano solo bass groove vinyl saxophone club improvise"
            " chord rhythm drummer ballad session melody brass encore blues"
        ),
    ),
)

COMMON_WORDS = _words(
    "today morning friends finally great new with the best of this week so good love a long"
    " time my first weekend again little day what we saw made home early late happy"
)

FIRST_NAMES = _words(
    "Ada Ben Cleo Dario Elif Femi Greta Hugo Ines Jonas Kira Leon Mina Noor Otto Pia Quentin"
    " Rosa Sami Tess Uma Viktor Wanda Xenia Yusuf Zoe"
)

LAST_NAMES = _words(
    "Abel Berg Costa Dahl Evers Fiore Gallo Hahn Ito Jansen Kovac Lund Moreau Nagy Okafor"
    " Petrov Quist Rossi Silva Tamm Ueda Vogel Weiss Young Zeller"
)
