"""Settings of Kafka's client, as text from the environment, typed by the client's own defaults."""

from collections.abc import Mapping
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer

from foundation.errors import SettingInvalid
from foundation.settings import KAFKA_PREFIX, boolean

OURS = frozenset(
    {
        "acks",
        "allow_auto_create_topics",
        "auto_offset_reset",
        "bootstrap_servers",
        "consumer_timeout_ms",
        "enable_auto_commit",
        "enable_idempotence",
        "group_id",
        "key_deserializer",
        "key_serializer",
        "transactional_id",
        "value_deserializer",
        "value_serializer",
    }
)
"""Not to be set: the guarantees rest on them."""

INTEGERS = frozenset({"receive_buffer_bytes", "send_buffer_bytes"})
"""Those whose default is None."""


def client_options(given: Mapping[str, str]) -> dict[str, Any]:
    """The values of settings by their lower-case names. Raises SettingInvalid."""
    defaults = _defaults()
    return {name: _typed(name, text, defaults) for name, text in given.items()}


def options_of(client: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """Those that one class of client knows."""
    return {name: value for name, value in options.items() if name in client.DEFAULT_CONFIG}


def _defaults() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for client in (KafkaAdminClient, KafkaProducer, KafkaConsumer):
        for name, value in client.DEFAULT_CONFIG.items():
            if found.get(name) is None:
                found[name] = value
    return found


def _typed(name: str, text: str, defaults: Mapping[str, Any]) -> Any:
    variable = f"{KAFKA_PREFIX}{name.upper()}"
    if name in OURS:
        raise SettingInvalid(f"{variable} cannot be set: exactly-once rests on it; unset it")
    if name not in defaults:
        raise SettingInvalid(
            f"{variable} is no setting of kafka-python's client: correct the name or unset it"
        )
    default = defaults[name]
    try:
        if isinstance(default, bool):
            return boolean(text)
        if isinstance(default, int) or name in INTEGERS:
            return int(text)
        if isinstance(default, float):
            return float(text)
        if name == "api_version":
            return tuple(int(part) for part in text.split("."))
    except ValueError:
        raise SettingInvalid(f"{variable}={text} is not like {default!r}") from None
    if default is None or isinstance(default, str):
        return text
    raise SettingInvalid(f"{variable} cannot be given as text; unset it")
