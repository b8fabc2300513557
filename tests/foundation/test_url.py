"""What is shown of a URL holds no secret."""

import pytest

from foundation.url import without_secrets, without_user_info


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("neo4j://user:secret@host:7687/db", "neo4j://host:7687/db"),
        ("neo4j://user:se@cret@host/db", "neo4j://host/db"),
        ("neo4j://user:sec/ret@host/db", "neo4j://host/db"),
        ("redis://:sec ret@host/0", "redis://host/0"),
        ("redis://:sec?ret@host/0", "redis://host/0"),
        ("redis://:sec\nret@host/0", "redis://host/0"),
        ("postgresql://host/db?user=me&password=secret", "postgresql://host/db"),
        ("neo4j://host/db", "neo4j://host/db"),
        ("sqlite:////home/@me/graph.db", "sqlite:////home/@me/graph.db"),
        ("/some/f@lder", "/some/f@lder"),
    ],
)
def test_a_url_is_shown_without_its_secrets(url: str, shown: str) -> None:
    assert without_secrets(url) == shown


def test_urls_in_a_text_lose_their_user_info_and_the_rest_stays() -> None:
    text = "GET http://me:secret@host/a failed, http://b:secret@other too; write to it@host"
    assert without_user_info(text) == "GET http://host/a failed, http://other too; write to it@host"
    assert without_user_info("http://host/a; write to it@host") == "http://host/a; write to it@host"
