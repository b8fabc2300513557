"""Variables of the environment: type, default, check, and secrets in files."""

from pathlib import Path
from typing import Any

import pytest

from foundation import settings
from foundation.errors import SettingInvalid
from foundation.settings import (
    ARTIFACTS_URL,
    EVENTS_URL,
    FETCH_REMOTE_IMAGES,
    GRAPH_URL,
    HOME,
    METRICS_PORT,
    ONLINE_STORE_URL,
    PROJECT,
    REGISTRY_URL,
    THREADS,
    Variable,
    secrets_with_prefix,
)

VARIABLES = [each for each in vars(settings).values() if isinstance(each, Variable)]


def test_each_is_declared_once() -> None:
    declared = [variable.name for variable in VARIABLES]
    assert len(declared) == len(set(declared))


@pytest.mark.parametrize("variable", VARIABLES, ids=lambda variable: str(variable.name))
def test_what_is_empty_or_absent_is_the_default(variable: Variable[Any]) -> None:
    assert variable.read({}) == variable.default
    empty = {variable.name: "", f"{variable.name}_FILE": ""}
    assert variable.read(empty) == variable.default
    assert variable.read({variable.name: " "}) == variable.default


@pytest.mark.parametrize(
    ("variable", "text", "value"),
    [
        (HOME, "some/where", Path("some/where")),
        (THREADS, "16", 16),
        (METRICS_PORT, "0", 0),
        (METRICS_PORT, "65535", 65_535),
        (FETCH_REMOTE_IMAGES, "1", True),
        (FETCH_REMOTE_IMAGES, "True", True),
        (FETCH_REMOTE_IMAGES, "on", True),
        (FETCH_REMOTE_IMAGES, "no", False),
        (FETCH_REMOTE_IMAGES, "OFF", False),
        (PROJECT, "staging_2", "staging_2"),
    ],
)
def test_a_value_has_its_type(variable: Variable[Any], text: str, value: object) -> None:
    assert variable.read({variable.name: text}) == value


@pytest.mark.parametrize(
    ("variable", "text", "remedy"),
    [
        (THREADS, "abc", "give a whole number from 1 to 1024"),
        (THREADS, "0", "give a whole number from 1 to 1024"),
        (THREADS, "99999999999999999999", "give a whole number from 1 to 1024"),
        (THREADS, "1_0", "give a whole number from 1 to 1024"),
        (THREADS, "1.5", "give a whole number from 1 to 1024"),
        (METRICS_PORT, "65536", "give the number of a port, 0 to 65535"),
        (METRICS_PORT, "-1", "give the number of a port, 0 to 65535"),
        (FETCH_REMOTE_IMAGES, "maybe", "give one of true, 1, yes, on, false, 0, no, off"),
        (PROJECT, "../../etc", "give a name of up to 64 letters, digits and underscores"),
    ],
)
def test_another_is_one_line_with_name_value_and_remedy(
    variable: Variable[Any], text: str, remedy: str
) -> None:
    with pytest.raises(SettingInvalid) as raised:
        variable.read({variable.name: text})
    assert str(raised.value).startswith(f"{variable.name}={text} cannot be used: {remedy}")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("variable", "texts"),
    [
        (EVENTS_URL, ["events.jsonl", "/a b?/e.jsonl", "file:///a/b", "kafka://a:1,b", "c:d"]),
        (GRAPH_URL, ["sqlite:///g.db", "sqlite:////a/g?x.db", "neo4j://u:p@h:7687/db", "bolt://h"]),
        (GRAPH_URL, ["neo4j+s://u:p@[::1]:7687", "neo4j+ssc://u:p/w@h/db"]),
        (ONLINE_STORE_URL, ["sqlite:///o.db", "redis://h", "rediss://:p?w@h:6380/3", "redis:///1"]),
        (ONLINE_STORE_URL, ["redis://:p/w@h/0", "redis://h/0?ssl_cert_reqs=none"]),
        (REGISTRY_URL, ["postgresql://u:p@h:5432/d", "postgresql:///d?host=/run", "postgres://h"]),
        (REGISTRY_URL, ["postgresql://u:p?w@h/d", "postgresql://u:p:w/@h:1/d?user=a@b"]),
        (ARTIFACTS_URL, ["folder", "/a/folder"]),
    ],
)
def test_addresses_are_taken_as_they_are(variable: Variable[Any], texts: list[str]) -> None:
    assert [variable.checked(text) for text in texts] == texts


@pytest.mark.parametrize(
    ("variable", "texts"),
    [
        (EVENTS_URL, ["http://h/e.jsonl", "kafka://", "kafka://h:x", "kafka://h:65536", "file://"]),
        (GRAPH_URL, ["graph.db", "sqlite://g.db", "sqlite:///", "mysql://h/d", "neo4j://"]),
        (GRAPH_URL, ["neo4j://h:0", "bolt://h:abc", "neo4j:///db", "neo4j://a b"]),
        (ONLINE_STORE_URL, ["memcached://h", "redis://h:70000", "redis://h/mydb", "online.db"]),
        (REGISTRY_URL, ["mysql://h/d", "registry.db", "postgresql://u:p@h:-1/d"]),
        (ARTIFACTS_URL, ["s3://bucket", "file:///a"]),
    ],
)
def test_others_are_refused_with_what_may_be_given(
    variable: Variable[Any], texts: list[str]
) -> None:
    for text in texts:
        with pytest.raises(SettingInvalid, match=f"^{variable.name}.* cannot be used: give "):
            variable.checked(text)


class TestSecret:
    def test_it_may_stand_in_a_file_whose_blanks_around_it_do_not_count(
        self, tmp_path: Path
    ) -> None:
        (tmp_path / "url").write_text(" neo4j://me:pass word@host\n")
        environ = {"MMGA_GRAPH_URL_FILE": str(tmp_path / "url")}
        assert GRAPH_URL.read(environ) == "neo4j://me:pass word@host"

    def test_one_that_is_given_twice_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "url").write_text("sqlite:///a.db")
        with pytest.raises(SettingInvalid, match="are both set: unset one") as raised:
            GRAPH_URL.read(
                {"MMGA_GRAPH_URL": "neo4j://secret", "MMGA_GRAPH_URL_FILE": str(tmp_path / "url")}
            )
        assert "secret" not in str(raised.value)

    @pytest.mark.parametrize(
        ("content", "reason"),
        [(None, "No such file"), (b"\xff\xfe", "utf-8"), (b" \n", "is empty: write the value")],
    )
    def test_a_file_that_holds_none_is_one_line(
        self, content: bytes | None, reason: str, tmp_path: Path
    ) -> None:
        path = tmp_path / "url"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(SettingInvalid, match=reason) as raised:
            GRAPH_URL.read({"MMGA_GRAPH_URL_FILE": str(path)})
        assert str(raised.value).startswith(f"MMGA_GRAPH_URL_FILE={path} ")

    def test_what_is_none_is_not_looked_for_in_a_file(self) -> None:
        assert HOME.read({"MMGA_HOME_FILE": "/nowhere"}) == HOME.default

    def test_a_value_that_cannot_be_used_is_not_shown(self) -> None:
        variable = Variable(name="PIN", default=0, parse=int, expected="digits", is_secret=True)
        with pytest.raises(SettingInvalid, match="PIN cannot be used: give digits") as raised:
            variable.read({"PIN": "s3same"})
        assert "s3same" not in str(raised.value)
        assert raised.value.__suppress_context__

    def test_those_of_a_prefix_are_named_by_the_rest(self, tmp_path: Path) -> None:
        (tmp_path / "password").write_text("sesame\n")
        environ = {
            "MMGA_KAFKA_SASL_PLAIN_PASSWORD_FILE": str(tmp_path / "password"),
            "MMGA_KAFKA_SSL_CAFILE": "/ca.pem",
            "MMGA_KAFKA_CLIENT_ID": "",
            "MMGA_HOME": "/data",
        }
        found = secrets_with_prefix(environ, "MMGA_KAFKA_")
        assert found == {"sasl_plain_password": "sesame", "ssl_cafile": "/ca.pem"}
        with pytest.raises(SettingInvalid, match="MMGA_KAFKA_SASL_PLAIN_PASSWORD and"):
            secrets_with_prefix({**environ, "MMGA_KAFKA_SASL_PLAIN_PASSWORD": "x"}, "MMGA_KAFKA_")
