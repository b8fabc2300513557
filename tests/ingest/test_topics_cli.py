import pytest
from click.testing import CliRunner

from ingest.errors import SourceMissing
from ingest.topics_cli import topics


@pytest.mark.parametrize("url", ["", "events.jsonl"])
def test_without_an_address_of_kafka_it_is_one_line(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MMGA_EVENTS_URL", url)
    done = CliRunner().invoke(topics)
    assert isinstance(done.exception, SourceMissing)
    assert "MMGA_EVENTS_URL=kafka://" in str(done.exception)
