"""The commands of docs/deployment.md, as a person gives them, on the stand-in for Compose."""

import re
import shlex
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import dataclass

import httpx

from tests.compose.composefile import ROOT
from tests.compose.engine import Engine


def start_commands() -> list[list[str]]:
    """The words of each command under `Start`."""
    text = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    block = re.search(r"^## Start\n.*?^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert block
    return [shlex.split(line, comments=True) for line in block[1].splitlines()]


@dataclass(frozen=True, kw_only=True)
class Person:
    """Gives commands to an engine; the profile-less services of ours are the ones that go up."""

    engine: Engine

    def give(self, words: Sequence[str]) -> str:
        """What one command prints. Raises AssertionError when it fails."""
        match words:
            case ["docker", "compose", "up", "--detach", "--wait"]:
                self.engine.up(*ours(self.engine))
                return ""
            case ["docker", "compose", "run", *rest]:
                options, command = _options(rest, "--volume")
                return self.engine.run(command[0], command[1:], options)
            case ["docker", "compose", "exec", *rest]:
                return self.engine.execute(rest[0], rest[1:])
            case ["curl", url]:
                answer = httpx.get(self.engine.here(url))
                assert answer.status_code == 200, answer.text
                return answer.text
        raise AssertionError(f"this command is not known here: {shlex.join(words)}")


def ours(engine: Engine) -> list[str]:
    """The services that are built from this repository and not left to a profile."""
    services = engine.document["services"].items()
    return [name for name, each in services if "build" in each and "profiles" not in each]


def _options(words: Sequence[str], option: str) -> tuple[list[str], list[str]]:
    """The values of an option of `docker compose run --rm`, and what follows."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--rm", action="store_true", required=True)
    parser.add_argument(option, action="append", default=[], dest="values")
    first = next(
        i for i, w in enumerate(words) if not w.startswith("--") and words[i - 1] != option
    )
    return parser.parse_args(words[:first]).values, list(words[first:])
