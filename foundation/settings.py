"""The variables of the environment: each is declared once, with its type, default and check.

An empty variable, or one of blanks, is one that is not set. A secret may stand in a file that
`NAME_FILE` names.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from foundation.errors import SettingInvalid
from foundation.url import is_path, is_url, without_secrets

FILE = "_FILE"
PROJECT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_]{0,63}")
BOOLEANS = {
    **dict.fromkeys(("true", "1", "yes", "on"), True),
    **dict.fromkeys(("false", "0", "no", "off"), False),
}

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable(Generic[T]):
    """One variable: `parse` reads its text and raises ValueError for one that is not `expected`.

    Of a secret, a message shows what `shown` leaves of it.
    """

    name: str
    default: T
    parse: Callable[[str], T]
    expected: str = "a text"
    is_secret: bool = False
    shown: Callable[[str], str] | None = None

    def read(self, environ: Mapping[str, str]) -> T:
        """The value in an environment, else the default. Raises SettingInvalid."""
        text = secret(environ, self.name) if self.is_secret else environ.get(self.name)
        return self.checked(text) if text and not text.isspace() else self.default

    def checked(self, text: str) -> T:
        """The value that a text stands for. Raises SettingInvalid."""
        try:
            return self.parse(text)
        except ValueError:
            raise SettingInvalid(
                f"{self.name}{self._shown(text)} cannot be used: give {self.expected}"
            ) from None

    def _shown(self, text: str) -> str:
        if self.shown is not None:
            text = self.shown(text)
        elif self.is_secret:
            text = ""
        return f"={text}" if text else ""


def secret(environ: Mapping[str, str], name: str) -> str | None:
    """The value of `NAME`, or the stripped content of the file that `NAME_FILE` names.

    Raises SettingInvalid when both are set, and for a file that is empty or cannot be read.
    """
    text, path = environ.get(name), environ.get(f"{name}{FILE}")
    if not path:
        return text or None
    if text:
        raise SettingInvalid(f"{name} and {name}{FILE}={path} are both set: unset one of them")
    try:
        text = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SettingInvalid(
            f"{name}{FILE}={path} cannot be read ({reason}): name a readable text file"
        ) from error
    if not text:
        raise SettingInvalid(f"{name}{FILE}={path} is empty: write the value to it, or unset it")
    return text


def secrets_with_prefix(environ: Mapping[str, str], prefix: str) -> dict[str, str]:
    """All secrets whose names begin with a prefix, by the rest of their names in lower case."""
    names = {name.removesuffix(FILE) for name in environ if name.startswith(prefix)}
    found = {name: secret(environ, name) for name in sorted(names)}
    return {name.removeprefix(prefix).lower(): text for name, text in found.items() if text}


def boolean(text: str) -> bool:
    """Whether a text says yes. Raises ValueError."""
    if text.lower() not in BOOLEANS:
        raise ValueError(text)
    return BOOLEANS[text.lower()]


def whole_number(low: int, high: int | None = None) -> Callable[[str], int]:
    """Reads an integer from `low` to `high`, both included; raises ValueError for others."""

    def parse(text: str) -> int:
        digits = text.removeprefix("-")
        if not (digits.isascii() and digits.isdigit()):  # int() reads 1_000 and other scripts too
            raise ValueError(text)
        number = int(text)
        if number < low or (high is not None and number > high):
            raise ValueError(text)
        return number

    return parse


def one_of(*choices: str) -> Callable[[str], str]:
    """Reads one of some texts; raises ValueError for others."""

    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(text)
        return text

    return parse


def address(files: Collection[str], servers: Collection[str]) -> Callable[[str], str]:
    """Reads SCHEME:///PATH of the schemes of files, and SCHEME://HOST[:PORT]… of servers.

    The scheme "" of files is a path alone. Raises ValueError for others, and for a port that is
    none.
    """

    def parse(text: str) -> str:
        scheme, separator, _ = text.partition("://")
        scheme = scheme if separator else ""
        if scheme in files and is_path(text):
            return text
        if scheme in servers and is_url(text, needs_host=scheme not in HOSTLESS_SCHEMES):
            return text
        raise ValueError(text)

    return parse


def online_store(text: str) -> str:
    """Reads the URL of an online store. Raises ValueError.

    The database of Redis is a number: its client takes another name silently for number 0.
    """
    url = address(("sqlite",), REDIS_SCHEMES)(text)
    scheme, _, rest = url.partition("?")[0].partition("://")
    database = rest.rpartition("@")[2].partition("/")[2].strip("/")
    if scheme in REDIS_SCHEMES and database:
        whole_number(0)(database)
    return url


def project_name(text: str) -> str:
    """A name that may prefix topics, keys and names of tables. Raises ValueError."""
    if not PROJECT_NAME.fullmatch(text):
        raise ValueError(text)
    return text


def _url(
    name: str, parse: Callable[[str], str] = str, expected: str = "a URL"
) -> Variable[str | None]:
    return Variable(
        name=name,
        default=None,
        parse=parse,
        expected=expected,
        is_secret=True,
        shown=lambda text: without_secrets(text) if "://" in text else "",
    )


PORT_NUMBER, PORT_EXPECTED = whole_number(0, 65_535), "the number of a port, 0 to 65535"
MAX_THREADS = 1024

NEO4J_SCHEMES = ("neo4j", "neo4j+s", "neo4j+ssc", "bolt", "bolt+s", "bolt+ssc")
REDIS_SCHEMES = ("redis", "rediss")
POSTGRES_SCHEMES = ("postgresql", "postgres", "postgresql+psycopg")
HOSTLESS_SCHEMES = (*REDIS_SCHEMES, *POSTGRES_SCHEMES)
"""Their clients have a default host, or take one from the options of the URL."""

HOME = Variable(name="MMGA_HOME", default=Path(".mmga"), parse=Path)
PROJECT = Variable(
    name="MMGA_PROJECT",
    default="mmga",
    parse=project_name,
    expected="a name of up to 64 letters, digits and underscores, no underscore first",
)
EVENTS_URL = _url(
    "MMGA_EVENTS_URL",
    address(("", "file"), ("kafka",)),
    "the path of a .jsonl file or of a folder of them, or kafka://HOST:PORT",
)
GRAPH_URL = _url(
    "MMGA_GRAPH_URL",
    address(("sqlite",), NEO4J_SCHEMES),
    "sqlite:///PATH (sqlite:////PATH when absolute) or neo4j://USER:PASSWORD@HOST:7687/DATABASE",
)
ONLINE_STORE_URL = _url(
    "MMGA_ONLINE_STORE_URL",
    online_store,
    "sqlite:///PATH.db, redis://HOST:PORT/NUMBER or rediss://",
)
REGISTRY_URL = _url(
    "MMGA_REGISTRY_URL",
    address(("sqlite",), POSTGRES_SCHEMES),
    "sqlite:///PATH.db or postgresql://USER@HOST/DATABASE",
)
ARTIFACTS_URL = _url(
    "MMGA_ARTIFACTS_URL", address(("",), ()), "a folder: this release has no remote one"
)
MEDIA_ROOT: Variable[Path | None] = Variable(name="MMGA_MEDIA_ROOT", default=None, parse=Path)
FETCH_REMOTE_IMAGES = Variable(
    name="MMGA_FETCH_REMOTE_IMAGES",
    default=False,
    parse=boolean,
    expected=f"one of {', '.join(BOOLEANS)}",
)
THREADS = Variable(
    name="MMGA_THREADS",
    default=2,
    parse=whole_number(1, MAX_THREADS),
    expected=f"a whole number from 1 to {MAX_THREADS}",
)
KEEP_EXPECTED = "a whole number from 1"
KEEP_GENERATIONS = Variable(
    name="MMGA_KEEP_GENERATIONS", default=5, parse=whole_number(1), expected=KEEP_EXPECTED
)
KEEP_SNAPSHOTS = Variable(
    name="MMGA_KEEP_SNAPSHOTS", default=2, parse=whole_number(1), expected=KEEP_EXPECTED
)
KEEP_RUNS = Variable(
    name="MMGA_KEEP_RUNS", default=3, parse=whole_number(1), expected=KEEP_EXPECTED
)
METRICS_HOST = Variable(name="MMGA_METRICS_HOST", default="127.0.0.1", parse=str)
METRICS_PORT: Variable[int | None] = Variable(
    name="MMGA_METRICS_PORT", default=None, parse=PORT_NUMBER, expected=PORT_EXPECTED
)
HOST = Variable(name="MMGA_HOST", default="127.0.0.1", parse=str)
PORT = Variable(name="MMGA_PORT", default=8_000, parse=PORT_NUMBER, expected=PORT_EXPECTED)
MLFLOW_TRACKING_URI = _url("MLFLOW_TRACKING_URI")
MLFLOW_EXPERIMENT_NAME = Variable(name="MLFLOW_EXPERIMENT_NAME", default="mmga", parse=str)

KAFKA_PREFIX = "MMGA_KAFKA_"
"""Begins the names of the settings of Kafka's client, any of which may be a secret."""
