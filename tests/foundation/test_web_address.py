import pytest

from foundation.web_address import holds_web_address


@pytest.mark.parametrize(
    "text",
    [
        "see https://example.org",
        "HTTP://EXAMPLE.ORG",
        "Www.example.org",
        "(www.example.org)",
        "❤\ufe0fhttps://t.co/x",
        "看https://t.cn",
    ],
)
def test_an_address(text: str) -> None:
    assert holds_web_address(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "http://",
        "https:// example.org",
        "www. example",
        "xhttp://a",
        "awww.so",
        "example.org",
        "a://b",
    ],
)
def test_no_address(text: str) -> None:
    assert not holds_web_address(text)
