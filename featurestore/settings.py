"""Where the features live: read from the environment once, then passed down."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from foundation.errors import SettingInvalid
from foundation.settings import ARTIFACTS_URL, HOME, ONLINE_STORE_URL, PROJECT, REGISTRY_URL
from foundation.url import without_secrets


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
        """Read HOME, PROJECT, and the URLs of online store, registry and artifacts.

        What is not set lies in the home. Raises SettingInvalid.
        """
        return cls.at(
            HOME.read(environ),
            project=PROJECT.read(environ),
            online_store_url=ONLINE_STORE_URL.read(environ),
            registry_url=REGISTRY_URL.read(environ),
            artifacts_url=ARTIFACTS_URL.read(environ),
        )

    @classmethod
    def at(
        cls,
        home: Path,
        *,
        project: str = PROJECT.default,
        online_store_url: str | None = None,
        registry_url: str | None = None,
        artifacts_url: str | None = None,
    ) -> Self:
        """Settings of one home, embedded where no URL is given. Raises SettingInvalid."""
        home = home.absolute()
        artifacts = ARTIFACTS_URL.checked(artifacts_url) if artifacts_url else None
        return cls(
            home=home,
            project=PROJECT.checked(project),
            online_store_url=online_store_url or f"sqlite:///{home / 'online.db'}",
            registry_url=registry_url or f"sqlite:///{home / 'registry.db'}",
            artifacts_url=artifacts or str(home),
        )

    @property
    def history_root(self) -> Path:
        """Folder of the feature history."""
        return self.home / "history"

    @property
    def generations_root(self) -> Path:
        """Folder of the sealed generations."""
        return self.artifacts_root / "generations"

    @property
    def indexes_root(self) -> Path:
        """Folder of the base indexes, where whoever reads the generations finds them."""
        return self.artifacts_root / "indexes"

    @property
    def artifacts_root(self) -> Path:
        """Folder of what publishing writes to files, and of its lock."""
        return Path(self.artifacts_url).absolute()


def sqlite_path(url: str) -> Path:
    """The file that `sqlite:///PATH` names, absolute. Raises SettingInvalid."""
    scheme, separator, path = url.partition(":///")
    if scheme != "sqlite" or not separator or not path:
        raise SettingInvalid(f"{without_secrets(url)} does not name a file: use sqlite:///PATH.db")
    return Path(path).absolute()
