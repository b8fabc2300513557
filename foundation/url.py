"""URLs as they may be shown in messages and logs: without user, password and options."""

import re

HOST_AND_PORT = re.compile(r"(\[[0-9a-fA-F:.]+(%[\w.]+)?\]|[^\s:\[\]]+)(:(?P<port>[0-9]{1,5}))?")
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


def is_path(url: str) -> bool:
    """Whether a text is a path, or SCHEME:///PATH, or file://PATH."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return bool(url)
    return rest.strip("/") != "" and (rest.startswith("/") or scheme == "file")


def is_url(url: str, *, needs_host: bool) -> bool:
    """Whether SCHEME://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]…][/…] has hosts and ports.

    Without `needs_host` a URL may name none: the client has a default, or its options name one.

    Where a password has characters that ought to be written as %XX, so that it cannot be told from
    the rest, the answer is yes: the client of the server decides.
    """
    authority, *rest = re.split(r"[/?#]", url.partition("://")[2], maxsplit=1)
    if rest and "@" in rest[0]:
        return True
    hosts = authority.rpartition("@")[2]
    return all(map(_is_host, hosts.split(","))) if hosts or needs_host else True


def _is_host(text: str) -> bool:
    found = HOST_AND_PORT.fullmatch(text)
    return found is not None and (found["port"] is None or 0 < int(found["port"]) < 65_536)
