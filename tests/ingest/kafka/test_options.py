"""Settings of the client, by their names in the environment."""

import re
import sys
from pathlib import Path

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer

from foundation.errors import SettingInvalid
from ingest.kafka.address import bootstrap_servers
from ingest.kafka.connection import CONSUMER_GUARANTEES, PRODUCER_GUARANTEES, KafkaConnection
from ingest.kafka.options import FIXED, OBJECTS, SETTABLE, client_options
from ingest.settings import IngestSettings
from tests.ingest.conftest import REPOSITORY


def test_settings_have_the_types_of_the_client_s_defaults() -> None:
    assert client_options(
        {
            "security_protocol": "SASL_SSL",
            "session_timeout_ms": "6000",
            "ssl_check_hostname": "false",
            "sasl_plain_password": "12345",
            "receive_buffer_bytes": "65536",
            "compression_type": "zstd",
            "linger_ms": "0",
        }
    ) == {
        "security_protocol": "SASL_SSL",
        "session_timeout_ms": 6000,
        "ssl_check_hostname": False,
        "sasl_plain_password": "12345",
        "receive_buffer_bytes": 65536,
        "compression_type": "zstd",
        "linger_ms": 0,
    }


def test_each_setting_of_the_client_is_settable_or_has_a_reason_not_to_be() -> None:
    clients = (KafkaAdminClient, KafkaConsumer, KafkaProducer)
    known = {name for client in clients for name in client.DEFAULT_CONFIG}
    assert known == SETTABLE.keys() | FIXED | OBJECTS
    assert len(SETTABLE) + len(FIXED) + len(OBJECTS) == len(known)


def test_the_documents_name_all_that_may_be_set_and_nothing_else() -> None:
    text = (REPOSITORY / "docs" / "kafka.md").read_text(encoding="utf-8")
    listed = text.partition("These settings of kafka-python's client may be set")[2]
    names = re.findall(r"`([a-z_]+)`", listed.partition(".\n\n")[0])
    assert names == sorted(SETTABLE)


@pytest.mark.parametrize("name", sorted({*CONSUMER_GUARANTEES, *PRODUCER_GUARANTEES}))
def test_what_a_guarantee_rests_on_is_fixed(name: str) -> None:
    assert name in FIXED


@pytest.mark.parametrize("name", sorted(FIXED))
def test_naming_what_is_fixed_is_one_line_of_error(name: str) -> None:
    environ = {f"MMGA_KAFKA_{name.upper()}": "read_uncommitted"}
    with pytest.raises(SettingInvalid) as raised:
        IngestSettings.from_environ(environ)
    assert str(raised.value) == (
        f"MMGA_KAFKA_{name.upper()} cannot be set: exactly-once rests on it; unset it"
    )


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("sesion_timeout_ms", "1", "MMGA_KAFKA_SESION_TIMEOUT_MS is no setting"),
        ("session_timeout_ms", "soon", "MMGA_KAFKA_SESSION_TIMEOUT_MS=soon cannot be used: give a"),
        ("session_timeout_ms", "0", "give a whole number from 1 to 2147483647"),
        ("session_timeout_ms", "2147483648", "give a whole number from 1 to 2147483647"),
        ("max_in_flight_requests_per_connection", "6", "give a whole number from 1 to 5"),
        ("ssl_check_hostname", "maybe", "MAYBE=maybe cannot be used: give true or false"),
        ("compression_type", "brotli", "give one of gzip, snappy, lz4, zstd"),
        ("security_protocol", "TLS", "give one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL"),
        ("sasl_mechanism", "OAUTHBEARER", "give one of PLAIN, SCRAM-SHA-256"),
        ("sasl_mechanism", "GSSAPI", "needs the package gssapi, which is not installed: run `pip"),
        ("proxy_url", "localhost:1080", "give http://HOST:PORT or socks5://HOST:PORT"),
        ("ssl_context", "x", "cannot be given as text"),
    ],
)
def test_others_are_one_line_of_error(name: str, text: str, message: str) -> None:
    with pytest.raises(SettingInvalid, match=message.replace("MAYBE", name.upper())):
        client_options({name: text})


def test_a_codec_that_is_not_installed_is_named_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "snappy", None)
    with pytest.raises(SettingInvalid, match=r"package snappy, .*`pip install \"\.\[ingest\]\"`"):
        client_options({"compression_type": "snappy"})


def test_secrets_come_from_files_too(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("sesame\n")
    settings = IngestSettings.from_environ(
        {
            "MMGA_EVENTS_URL_FILE": str(secret),
            "MMGA_KAFKA_SASL_PLAIN_PASSWORD_FILE": str(secret),
            "MMGA_KAFKA_SSL_CAFILE": "/ca.pem",
        }
    )
    assert settings.events_url == "sesame"
    assert settings.kafka == {"sasl_plain_password": "sesame", "ssl_cafile": "/ca.pem"}
    with pytest.raises(SettingInvalid, match="MMGA_EVENTS_URL_FILE=/absent cannot be read"):
        IngestSettings.from_environ({"MMGA_EVENTS_URL_FILE": "/absent"})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"security_protocol": "SASL_SSL"}, "PROTOCOL=SASL_SSL needs MMGA_KAFKA_SASL_MECHANISM"),
        (
            {"security_protocol": "SASL_SSL", "sasl_mechanism": "SCRAM-SHA-512"},
            "needs MMGA_KAFKA_SASL_PLAIN_USERNAME and MMGA_KAFKA_SASL_PLAIN_PASSWORD: set it too",
        ),
        (
            {
                "security_protocol": "SASL_PLAINTEXT",
                "sasl_mechanism": "PLAIN",
                "sasl_plain_username": "me",
            },
            "MMGA_KAFKA_SASL_MECHANISM=PLAIN needs MMGA_KAFKA_SASL_PLAIN_PASSWORD: set it too",
        ),
        ({"ssl_cafile": "/absent/ca.pem"}, "SSL_CAFILE=/absent/ca.pem cannot be read"),
    ],
)
def test_what_one_setting_needs_is_told_before_a_connection_is_tried(
    options: dict[str, str], message: str
) -> None:
    with pytest.raises(SettingInvalid, match=message):
        KafkaConnection.of("kafka://host", client_options(options))


def test_an_address_is_a_list_of_hosts() -> None:
    assert KafkaConnection.of("kafka://a:1,b", {}).servers == "a:1,b:9092"
    assert bootstrap_servers("kafka://[::1]:9093,[fe80::1]/") == "[::1]:9093,[fe80::1]:9092"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("kafka://me:sesame@host", "MMGA_KAFKA_SASL_PLAIN_USERNAME"),
        ("kafka://", "give kafka://HOST:PORT"),
        ("kafka://host:9092/topic", "kafka://host:9092/topic is no address of Kafka: .*MMGA_PROJ"),
        ("kafka://host?a=b", "is no address of Kafka"),
        ("kafka://host:port", "ports 1 to 65535"),
        ("kafka://host:70000", "ports 1 to 65535"),
        ("kafka://host:0", "ports 1 to 65535"),
        ("kafka://a:1,,b:2", "ports 1 to 65535"),
        ("kafka://::1:9092", "ports 1 to 65535"),
    ],
)
def test_another_address_is_refused_wherever_it_is_given(url: str, message: str) -> None:
    with pytest.raises(SettingInvalid, match=message) as raised:
        KafkaConnection.of(url, {})
    assert "sesame" not in str(raised.value)
    with pytest.raises(SettingInvalid, match=r"MMGA_|kafka://HOST:PORT"):
        IngestSettings.from_environ({"MMGA_EVENTS_URL": url})
