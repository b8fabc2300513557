"""A broker that wants TLS and a password, and that goes and comes back."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ingest.conftest import Run
from tests.ingest.kafka.conftest import Start, document, until, write
from tests.ingest.kafka.workers import ingested, stop
from tests.ingest.made import follow_lines
from tests.servers import Server, start_kafka
from tests.servers.artifacts import find_java

SETTINGS = """\
ssl.keystore.location={folder}/broker.p12
ssl.keystore.password=changeit
ssl.truststore.location={folder}/broker.p12
ssl.truststore.password=changeit
sasl.enabled.mechanisms=PLAIN
sasl.mechanism.inter.broker.protocol=PLAIN
listener.name.sasl_ssl.plain.sasl.jaas.config=\
org.apache.kafka.common.security.plain.PlainLoginModule required \
username="broker" password="broker-secret" user_broker="broker-secret" user_mmga="secret";
"""


@pytest.fixture
def broker(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A broker of its own, and the settings that its clients need."""
    folder = tmp_path / "kafka"
    folder.mkdir()
    keytool = shutil.which("keytool") or str(Path(find_java(17)).with_name("keytool"))
    subprocess.run(
        [keytool, "-genkeypair", "-keystore", folder / "broker.p12", "-storetype", "PKCS12",
         "-storepass", "changeit", "-alias", "broker", "-keyalg", "EC", "-dname", "CN=localhost",
         "-ext", "san=ip:127.0.0.1", "-ext", "bc=ca:true"],
        check=True, capture_output=True,
    )  # fmt: skip
    exported = subprocess.run(
        [keytool, "-exportcert", "-rfc", "-keystore", folder / "broker.p12",
         "-storepass", "changeit", "-alias", "broker"],
        check=True, capture_output=True,
    )  # fmt: skip
    (folder / "ca.pem").write_bytes(exported.stdout)
    (folder / "password").write_text("secret\n")
    for name, value in {
        "MMGA_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "MMGA_KAFKA_SSL_CAFILE": str(folder / "ca.pem"),
        "MMGA_KAFKA_SASL_MECHANISM": "PLAIN",
        "MMGA_KAFKA_SASL_PLAIN_USERNAME": "mmga",
        "MMGA_KAFKA_SASL_PLAIN_PASSWORD_FILE": str(folder / "password"),
    }.items():
        monkeypatch.setenv(name, value)
    started = start_kafka(folder, listener="SASL_SSL", settings=SETTINGS.format(folder=folder))
    monkeypatch.setenv("MMGA_EVENTS_URL", started.url)
    yield started
    started.kill()


@pytest.mark.slow
def test_events_come_over_tls_with_a_password_and_a_broker_that_goes_is_waited_for(
    broker: Server, start: Start, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = write(tmp_path / "first.jsonl", follow_lines(20))
    more = [b'{"type": "follow.x"}', *follow_lines(30, first=20)]
    rest = write(tmp_path / "rest.jsonl", more)
    create = ("--create-topics", "--partitions", "2")
    until(lambda: run("publish", first, *create).status == 0)  # it listens before it answers

    with monkeypatch.context() as wrong:
        wrong.setenv("MMGA_KAFKA_SASL_PLAIN_PASSWORD_FILE", str(tmp_path / "first.jsonl"))
        outcome = run("publish", first)
        assert outcome.status == 1
        assert outcome.err.startswith("error: Kafka at")
        assert "secret" not in outcome.err
        assert outcome.err.count("\n") == 1

    worker = start()
    until(lambda: ingested(run, 20))
    broker.kill()
    log = tmp_path / "worker0.log"
    until(lambda: "does not answer" in log.read_text())
    broker.start()
    until(lambda: run("publish", rest).status == 0)
    until(lambda: ingested(run, 50))
    until(lambda: document(run, "status")["dead_letters"] == 1)
    assert stop(worker) == 0
    assert "going on after" in log.read_text()
    assert log.read_text().count("waiting") == 1
