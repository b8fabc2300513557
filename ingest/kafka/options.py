"""Settings of Kafka's client from the environment: which may be set, with type and bounds.

They are declared here rather than taken from the client, so that a command checks them before it
connects or imports the client, and so that a setting of a later client is refused until somebody
has looked at what rests on it.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from foundation.errors import SettingInvalid
from foundation.settings import KAFKA_PREFIX, Variable, address, boolean, one_of, whole_number

FIXED = frozenset(
    {
        "acks",
        "allow_auto_create_topics",
        "api_version",
        "auto_commit_interval_ms",
        "auto_offset_reset",
        "bootstrap_servers",
        "check_crcs",
        "consumer_timeout_ms",
        "default_offset_commit_callback",
        "enable_auto_commit",
        "enable_idempotence",
        "exclude_internal_topics",
        "group_id",
        "isolation_level",
        "key_deserializer",
        "key_serializer",
        "max_poll_records",
        "partition_assignment_strategy",
        "partitioner",
        "retries",
        "transaction_timeout_ms",
        "transactional_id",
        "value_deserializer",
        "value_serializer",
    }
)
"""The guarantees rest on them. An old `api_version` is among them because it has no transactions:
its fetches return what was aborted."""

OBJECTS = frozenset(
    {
        "kafka_client",
        "metric_group_prefix",
        "metric_reporters",
        "sasl_oauth_token_provider",
        "selector",
        "socket_options",
        "socks5_proxy",
        "ssl_context",
    }
)
"""Objects of Python, and names that the client has given up."""

MAX_INT32 = 2**31 - 1
MODULES = {"snappy": "snappy", "lz4": "lz4", "zstd": "zstandard"}
"""The module that each codec of `compression_type` needs; gzip needs none."""
MECHANISM_MODULES = {"GSSAPI": "gssapi", "AWS_MSK_IAM": "botocore"}
"""The module that a mechanism of SASL needs, beside the client."""


def _whole(low: int, high: int = MAX_INT32) -> tuple[Callable[[str], Any], str]:
    return whole_number(low, high), f"a whole number from {low} to {high}"


def _choice(*choices: str) -> tuple[Callable[[str], Any], str]:
    return one_of(*choices), f"one of {', '.join(choices)}"


TEXT: tuple[Callable[[str], Any], str] = (str, "a text")
SWITCH: tuple[Callable[[str], Any], str] = (boolean, "true or false")
DURATION, INTERVAL, COUNT = _whole(0), _whole(1), _whole(1)

FILES = frozenset({"ssl_cafile", "ssl_certfile", "ssl_crlfile", "ssl_keyfile"})
PROXY_SCHEMES = ("http", "socks5", "socks5h")
SECRETS = frozenset({"proxy_url", "sasl_plain_password", "ssl_password"})
SETTABLE: dict[str, tuple[Callable[[str], Any], str]] = {
    "batch_size": _whole(0),
    "bootstrap_timeout_ms": INTERVAL,
    "client_dns_lookup": _choice("use_all_dns_ips", "resolve_canonical_bootstrap_servers_only"),
    "client_id": TEXT,
    "client_rack": TEXT,
    "compression_type": _choice("gzip", *MODULES),
    "connections_max_idle_ms": INTERVAL,
    "delivery_timeout_ms": INTERVAL,
    "enable_incremental_fetch_sessions": SWITCH,
    "fetch_max_bytes": COUNT,
    "fetch_max_wait_ms": DURATION,
    "fetch_min_bytes": COUNT,
    "group_instance_id": TEXT,
    "heartbeat_interval_ms": INTERVAL,
    "linger_ms": DURATION,
    "max_block_ms": INTERVAL,
    "max_in_flight_requests_per_connection": _whole(1, 5),  # what idempotence allows
    "max_partition_fetch_bytes": COUNT,
    "max_poll_interval_ms": INTERVAL,
    "max_request_size": COUNT,
    "metadata_max_age_ms": INTERVAL,
    "metrics_enabled": SWITCH,
    "metrics_num_samples": COUNT,
    "metrics_sample_window_ms": INTERVAL,
    "proxy_url": (address((), PROXY_SCHEMES), "http://HOST:PORT or socks5://HOST:PORT"),
    "receive_buffer_bytes": COUNT,
    "receive_message_max_bytes": COUNT,
    "reconnect_backoff_max_ms": DURATION,
    "reconnect_backoff_ms": DURATION,
    "request_timeout_ms": INTERVAL,
    "retry_backoff_ms": DURATION,
    "sasl_kerberos_domain_name": TEXT,
    "sasl_kerberos_name": TEXT,
    "sasl_kerberos_service_name": TEXT,
    "sasl_mechanism": _choice("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", *MECHANISM_MODULES),
    "sasl_plain_password": TEXT,
    "sasl_plain_username": TEXT,
    "security_protocol": _choice("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"),
    "send_buffer_bytes": COUNT,
    "session_timeout_ms": INTERVAL,
    "ssl_cafile": TEXT,
    "ssl_certfile": TEXT,
    "ssl_check_hostname": SWITCH,
    "ssl_ciphers": TEXT,
    "ssl_crlfile": TEXT,
    "ssl_keyfile": TEXT,
    "ssl_password": TEXT,
}
"""What may be set: how its text is read, and what is expected of it."""


def client_options(given: Mapping[str, str]) -> dict[str, Any]:
    """The values of settings by their lower-case names. Raises SettingInvalid."""
    options = {name: _variable(name).checked(text) for name, text in given.items()}
    _check_installed("compression_type", MODULES, options, 'pip install ".[ingest]"')
    _check_installed("sasl_mechanism", MECHANISM_MODULES, options, "pip install {module}")
    return options


def check_complete(options: Mapping[str, Any]) -> None:
    """Raises SettingInvalid where one setting needs another, or a file that cannot be read.

    The client would only say that no broker answers.
    """
    protocol = options.get("security_protocol", "PLAINTEXT")
    if protocol.startswith("SASL"):
        mechanism = options.get("sasl_mechanism")
        _check_given(options, f"security_protocol={protocol}", ("sasl_mechanism",))
        if mechanism not in MECHANISM_MODULES:
            needed = ("sasl_plain_username", "sasl_plain_password")
            _check_given(options, f"sasl_mechanism={mechanism}", needed)
    for name in FILES & options.keys():
        if not (Path(options[name]).is_file() and os.access(options[name], os.R_OK)):
            raise SettingInvalid(
                f"{_name(name)}={options[name]} cannot be read: name a file that can"
            )


def options_of(client: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """Those that one class of client knows."""
    return {name: value for name, value in options.items() if name in client.DEFAULT_CONFIG}


def _check_given(options: Mapping[str, Any], assignment: str, needed: Iterable[str]) -> None:
    missing = [_name(name) for name in needed if name not in options]
    if missing:
        name, _, text = assignment.partition("=")
        raise SettingInvalid(f"{_name(name)}={text} needs {' and '.join(missing)}: set it too")


def _name(option: str) -> str:
    return f"{KAFKA_PREFIX}{option.upper()}"


def _variable(name: str) -> Variable[Any]:
    variable = _name(name)
    if name in FIXED:
        raise SettingInvalid(f"{variable} cannot be set: exactly-once rests on it; unset it")
    if name in OBJECTS:
        raise SettingInvalid(f"{variable} cannot be given as text; unset it")
    if name not in SETTABLE:
        raise SettingInvalid(
            f"{variable} is no setting of kafka-python's client: correct the name or unset it"
        )
    parse, expected = SETTABLE[name]
    return Variable(
        name=variable, default=None, parse=parse, expected=expected, is_secret=name in SECRETS
    )


def _check_installed(
    name: str, modules: Mapping[str, str], options: Mapping[str, Any], remedy: str
) -> None:
    module = modules.get(options.get(name, ""))
    if module is not None and find_spec(module) is None:
        raise SettingInvalid(
            f"{_name(name)}={options[name]} needs the package {module}, which is"
            f" not installed: run `{remedy.format(module=module)}`"
        )
