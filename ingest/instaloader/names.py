"""Names of users and hashtags, by Instaloader's rules.

A user is known by its username in lower case: it is the only key that profiles, posts, mentions,
tags and lists of follows have in common.
"""

import re
from collections.abc import Iterable
from unicodedata import normalize

_USERNAME = re.compile(r"[\w.-]{1,64}")
"""Wider than Instagram's own rule; what does not match is a sentence, a path or an address."""

_HASHTAG = re.compile(r"#(\w{1,150})")
_MENTION = re.compile(r"(?:^|[^\w\n]|_)@(\w(?:(?:\w|\.(?!\.)){0,28}\w)?)", re.ASCII)


def username_of(text: str) -> str | None:
    """The key of a user, with or without `@`; None where a text is no username."""
    name = normalize("NFC", text.strip().removeprefix("@").lower())
    return name if _USERNAME.fullmatch(name) else None


def hashtags(caption: str) -> list[str]:
    """The hashtags of a caption in lower case, without `#`, each once."""
    return unique(_HASHTAG.findall(caption.lower()))


def mentions(caption: str) -> list[str]:
    """The users whom a caption mentions, each once; an e-mail address mentions nobody."""
    return unique(_MENTION.findall(caption.lower()))


def unique(names: Iterable[str]) -> list[str]:
    """Each name once, in order of the first."""
    return list(dict.fromkeys(names))
