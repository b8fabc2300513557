"""Settings of the client, by their names in the environment."""

from pathlib import Path

import pytest

from foundation.errors import SettingInvalid
from ingest.kafka.connection import KafkaConnection
from ingest.kafka.options import client_options
from ingest.settings import IngestSettings


def test_settings_have_the_types_of_the_client_s_defaults() -> None:
    assert client_options(
        {
            "security_protocol": "SASL_SSL",
            "session_timeout_ms": "6000",
            "ssl_check_hostname": "false",
            "sasl_plain_password": "12345",
            "receive_buffer_bytes": "65536",
            "api_version": "2.8",
        }
    ) == {
        "security_protocol": "SASL_SSL",
        "session_timeout_ms": 6000,
        "ssl_check_hostname": False,
        "sasl_plain_password": "12345",
        "receive_buffer_bytes": 65536,
        "api_version": (2, 8),
    }


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("sesion_timeout_ms", "1", "MMGA_KAFKA_SESION_TIMEOUT_MS is no setting"),
        ("session_timeout_ms", "soon", "MMGA_KAFKA_SESSION_TIMEOUT_MS=soon is not like 45000"),
        ("ssl_check_hostname", "maybe", "is not like True"),
        ("enable_auto_commit", "true", "cannot be set: exactly-once rests on it"),
        ("partition_assignment_strategy", "x", "cannot be given as text"),
    ],
)
def test_others_are_one_line_of_error(name: str, text: str, message: str) -> None:
    with pytest.raises(SettingInvalid, match=message):
        client_options({name: text})


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


def test_an_address_is_a_list_of_hosts_without_a_user() -> None:
    assert KafkaConnection.of("kafka://a:1,b", {}).servers == "a:1,b:9092"
    with pytest.raises(SettingInvalid, match="MMGA_KAFKA_SASL_PLAIN_USERNAME") as raised:
        KafkaConnection.of("kafka://me:sesame@host", {})
    assert "sesame" not in str(raised.value)
    with pytest.raises(SettingInvalid, match="HOST:PORT"):
        KafkaConnection.of("kafka://", {})
