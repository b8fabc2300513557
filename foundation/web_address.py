"""What a web address in a text is: one definition for the statistics and for the tokenizers."""

import re

WEB_ADDRESS = r"(?<![A-Za-z0-9_])(?:[Hh][Tt][Tt][Pp][Ss]?://|[Ww][Ww][Ww]\.)[^\s\x1c-\x1f]+"
"""A scheme or `www.` at the beginning of a word, up to the next white space.

Python's expressions and those of the `tokenizers` library read it alike: they disagree about
`\\b` after combining marks, `\\s` of control characters, and letters of equal fold.
"""

_COMPILED = re.compile(WEB_ADDRESS)


def holds_web_address(text: str) -> bool:
    """Whether there is a web address in a text."""
    if "://" not in text and "ww." not in text.lower():  # quicker than the expression
        return False
    return _COMPILED.search(text) is not None
