"""The address of a Kafka cluster: kafka://HOST[:PORT][,HOST[:PORT]…]."""

from foundation.errors import SettingInvalid
from foundation.url import is_url, without_secrets

SCHEME = "kafka://"
DEFAULT_PORT = 9092


def bootstrap_servers(url: str) -> str:
    """The brokers to ask first, each with its port. Raises SettingInvalid."""
    hosts = url.removeprefix(SCHEME).rstrip("/")
    if "@" in hosts:
        raise SettingInvalid(
            f"{SCHEME}…@{hosts.rpartition('@')[2]} names a user: give it by"
            " MMGA_KAFKA_SASL_PLAIN_USERNAME and MMGA_KAFKA_SASL_PLAIN_PASSWORD"
        )
    if not url.startswith(SCHEME) or set(hosts) & set("/?#"):
        raise SettingInvalid(
            f"{without_secrets(url)} is no address of Kafka: give {SCHEME}HOST:PORT alone (the"
            " topics are PROJECT.instagram.users, .posts and .follows of MMGA_PROJECT)"
        )
    if not is_url(f"{SCHEME}{hosts}", needs_host=True):
        raise SettingInvalid(
            f"{url} is no address of Kafka: give {SCHEME}HOST:PORT[,HOST:PORT…], ports 1 to 65535"
        )
    return ",".join(map(_with_port, hosts.split(",")))


def _with_port(host: str) -> str:
    has_port = ":" in host.rpartition("]")[2]
    return host if has_port else f"{host}:{DEFAULT_PORT}"
