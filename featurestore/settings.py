"""Where the features live: read from the environment once, then passed down."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from featurestore.errors import SettingsInvalid

PROJECT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureStoreSettings:
    """Home folder, Feast project, and the URLs of online store, registry and artifacts."""

    home: Path
    project: str
    online_store_url: str
    registry_url: str
    artifacts_url: str

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read MMGA_HOME, MMGA_PROJECT, and MMGA_…_URL of ONLINE_STORE, REGISTRY and ARTIFACTS.

        What is not set lies in the home. A URL may stand in a file that `NAME_FILE` names.
        Raises SettingsInvalid.
        """
        return cls.at(
            Path(environ.get("MMGA_HOME") or ".mmga"),
            project=environ.get("MMGA_PROJECT") or "mmga",
            online_store_url=secret(environ, "MMGA_ONLINE_STORE_URL"),
            registry_url=secret(environ, "MMGA_REGISTRY_URL"),
            artifacts_url=secret(environ, "MMGA_ARTIFACTS_URL"),
        )

    @classmethod
    def at(
        cls,
        home: Path,
        *,
        project: str = "mmga",
        online_store_url: str | None = None,
        registry_url: str | None = None,
        artifacts_url: str | None = None,
    ) -> Self:
        """Settings of one home, embedded where no URL is given. Raises SettingsInvalid."""
        if not PROJECT_NAME.fullmatch(project):
            raise SettingsInvalid(
                f"MMGA_PROJECT={project!r} is not a name: use letters, digits and underscores, "
                "not an underscore first"
            )
        home = home.absolute()
        return cls(
            home=home,
            project=project,
            online_store_url=online_store_url or f"sqlite:///{home / 'online.db'}",
            registry_url=registry_url or f"sqlite:///{home / 'registry.db'}",
            artifacts_url=artifacts_url or str(home),
        )

    @property
    def history_root(self) -> Path:
        """Folder of the feature history."""
        return self.home / "history"

    @property
    def generations_root(self) -> Path:
        """Folder of the sealed generations. Raises SettingsInvalid for a remote one."""
        if "://" in self.artifacts_url:
            raise SettingsInvalid(
                f"MMGA_ARTIFACTS_URL={without_user(self.artifacts_url)} is remote, which this "
                "release cannot do: name a folder"
            )
        return Path(self.artifacts_url).absolute() / "generations"


def secret(environ: Mapping[str, str], name: str) -> str | None:
    """The value of a variable, or of the file that `NAME_FILE` names. Raises SettingsInvalid."""
    if value := environ.get(name):
        return value
    path = environ.get(f"{name}_FILE")
    if not path:
        return None
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise SettingsInvalid(f"{name}_FILE={path} cannot be read: {error.strerror}") from error


def sqlite_path(url: str) -> Path:
    """The file that `sqlite:///PATH` names, absolute. Raises SettingsInvalid."""
    scheme, separator, path = url.partition(":///")
    if scheme != "sqlite" or not separator or not path:
        raise SettingsInvalid(f"{without_user(url)} does not name a file: use sqlite:///PATH.db")
    return Path(path).absolute()


def without_user(url: str) -> str:
    """The URL without the user, the password and the options that it may hold.

    A password with a character that should have been written as %XX is cut as well.
    """
    if url.startswith("sqlite:"):
        return url
    return re.sub(r"//.*@", "//", url).partition("?")[0]
