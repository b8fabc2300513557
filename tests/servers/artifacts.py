"""What the servers are made of: jars from Maven Central, kept for all later runs, and a Java."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from tempfile import mkdtemp

from filelock import FileLock

from tests.servers.server import ServerMissing

POM = """<project><modelVersion>4.0.0</modelVersion>
<groupId>mmga</groupId><artifactId>servers</artifactId><version>1</version>
<dependencies>{dependencies}</dependencies></project>
"""
DEPENDENCY = """<dependency>
<groupId>{0}</groupId><artifactId>{1}</artifactId><version>{2}</version></dependency>"""
FETCH_SECONDS = 900


def servers_folder() -> Path:
    """Where jars are kept: MMGA_SERVERS_DIR, else the user's cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("MMGA_SERVERS_DIR") or cache / "mmga" / "servers")


def jars(name: str, *coordinates: str) -> Path:
    """The folder of the jars of `group:artifact:version` and all that they need; fetched once."""
    folder = servers_folder() / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if not folder.is_dir():
            _fetch(folder, coordinates)
    return folder


def _fetch(folder: Path, coordinates: tuple[str, ...]) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise ServerMissing("Maven is not installed: apt-get install maven")
    staged = Path(mkdtemp(prefix=folder.name, dir=folder.parent))
    dependencies = "".join(DEPENDENCY.format(*each.split(":")) for each in coordinates)
    (staged / "pom.xml").write_text(POM.format(dependencies=dependencies))
    done = subprocess.run(
        [maven, "-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime",
         f"-DoutputDirectory={staged}"],
        cwd=staged, capture_output=True, text=True, timeout=FETCH_SECONDS, check=False,
    )  # fmt: skip
    if done.returncode:
        shutil.rmtree(staged)
        raise ServerMissing(f"Maven cannot fetch {coordinates}: {done.stdout[-500:]}")
    staged.rename(folder)


def find_java(oldest: int) -> str:
    """A Java of this major version or newer: the newest that is installed."""
    found = {version: path for path in _javas() if (version := _major(path)) >= oldest}
    if not found:
        raise ServerMissing(
            f"no Java {oldest} or newer: apt-get install openjdk-{oldest}-jre-headless"
        )
    return found[min(found)]


def _javas() -> list[str]:
    places = [Path("/usr/lib/jvm"), Path("/opt")]
    found = [str(each) for place in places for each in sorted(place.glob("*/bin/java"))]
    home = os.environ.get("JAVA_HOME")
    named = [f"{home}/bin/java"] if home else []
    on_path = shutil.which("java")
    return [*named, *([on_path] if on_path else []), *found]


def _major(java: str) -> int:
    """17 of `openjdk version "17.0.15"`; 0 where it does not run."""
    try:
        printed = subprocess.run(
            [java, "-version"], capture_output=True, text=True, timeout=60, check=False
        ).stderr
    except OSError:
        return 0
    match = re.search(r'version "(\d+)', printed)
    return int(match.group(1)) if match else 0
