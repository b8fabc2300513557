"""URLs as they may be shown: without the user and the password."""


def without_user_info(url: str) -> str:
    """The URL for messages and logs, with whatever stands before its host's `@` left out."""
    scheme, separator, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    if "@" in path and ":" in authority:
        # A password with an unquoted slash: better to show too little than the password.
        authority, slash, path = rest.rpartition("@")[2].partition("/")
    return scheme + separator + authority.rpartition("@")[2] + slash + path
