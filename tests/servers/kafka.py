"""Kafka in KRaft mode, one node, from its jars."""

import base64
import re
import socket
import subprocess
import uuid
from pathlib import Path
from urllib.parse import urlsplit

from tests.servers.artifacts import find_java, jars
from tests.servers.server import LOOPBACK, Program, Server, free_port

NAME = "Kafka"
VERSION = "4.2.0"
CONFIGURATION = """\
process.roles=broker,controller
node.id=1
listeners={listener}://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners={listener}://127.0.0.1:{port}
inter.broker.listener.name={listener}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,{listener}:{listener}
controller.quorum.voters=1@127.0.0.1:{controller}
log.dirs={folder}/log
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
log.retention.check.interval.ms=1000
{more}
"""


def start_kafka(
    folder: Path, *, port: int = 0, listener: str = "PLAINTEXT", settings: str = ""
) -> Server:
    """Start a broker of its own, with its log in `folder`. Raises ServerMissing.

    Another listener (SASL_PLAINTEXT, SSL, SASL_SSL) needs its `settings`; then the broker is known
    to answer by its socket alone.
    """
    lib = jars(
        f"kafka-{VERSION}", f"org.apache.kafka:kafka_2.13:{VERSION}",
        f"org.apache.kafka:kafka-tools:{VERSION}", "org.slf4j:slf4j-simple:1.7.36",
    )  # fmt: skip
    java = find_java(17)
    port = port or free_port()
    properties = folder / "server.properties"
    is_new = not properties.exists()
    folder.mkdir(parents=True, exist_ok=True)
    properties.write_text(
        CONFIGURATION.format(
            listener=listener, port=port, controller=free_port(), folder=folder, more=settings
        )
    )
    if is_new:
        identity = f"M{base64.urlsafe_b64encode(uuid.uuid4().bytes)[1:22].decode()}"  # never a "-"
        subprocess.run(
            [java, "-cp", f"{lib}/*", "kafka.tools.StorageTool", "format",
             "-t", identity, "-c", str(properties), "--ignore-formatted"],
            check=True, capture_output=True, timeout=120,
        )  # fmt: skip
    command = [java, "-Xmx512m", "-cp", f"{lib}/*", "kafka.Kafka", str(properties)]
    ask = ask_version if listener == "PLAINTEXT" else ask_socket
    server = Server(
        NAME,
        f"kafka://{LOOPBACK}:{port}",
        lambda url: f"{logged_version(folder)}, {ask(url)}",
        program=Program(command=command, folder=folder),
    )
    return server.start()


def ask_version(url: str) -> str:
    """The level of its metadata: of its version a broker tells its clients no more."""
    from kafka import KafkaAdminClient

    address = url.removeprefix("kafka://")
    admin = KafkaAdminClient(bootstrap_servers=address, bootstrap_timeout_ms=2000)
    try:
        level = admin.describe_features()["metadata.version"]["finalized"][1]
    finally:
        admin.close()
    return f"metadata version {level}"


def ask_socket(url: str) -> str:
    """Whether something listens, where only a client with a secret may ask for more."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=2):
        return "listening"


def logged_version(folder: Path) -> str:
    """The version that a broker printed when it started."""
    printed = (folder / "server.log").read_text(errors="replace")
    return re.findall(r"Kafka version: (\S+)", printed)[-1]
