"""URLs as they may be shown in messages and logs: without user, password and options."""

import re

PATH_SCHEMES = ("sqlite:", "file:")
"""URLs of these name a path, in which an `@` is one of its characters."""


def without_secrets(url: str) -> str:
    """A URL without its user-info and its query.

    A password with a character that ought to be written as %XX is cut as well, if need be with
    more than the password.
    """
    if url.startswith(PATH_SCHEMES):
        return url
    return re.sub(r"//.*@", "//", url, flags=re.DOTALL).partition("?")[0]


def without_user_info(text: str) -> str:
    """A text, such as an error's message, without the user-info of the URLs in it."""
    return re.sub(r"://\S*@", "://", text)
