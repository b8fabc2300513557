import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from foundation.web_address import holds_web_address
from training.errors import ConfigInvalid
from training.networks.tokenizer import (
    load_tokenizer,
    tokenizer_digest,
    tokenizer_json,
    train_tokenizer,
)

CAPTIONS = [
    "Sunrise over the lake, so calm http://t.co/AbC",
    "Sunset over the city with @friend_1 #city #sunset",
    "Pasta for dinner! Best pasta in town www.example.com/pasta",
    "Goal! What a match, what a goal #football",
    "Über die Brücke 日本 🎉 goals and matches",
    "",
] * 3

CHILD = """
import sys
from tests.training.networks.test_tokenizer import CAPTIONS
from training.networks.tokenizer import tokenizer_json, train_tokenizer
sys.stdout.write(tokenizer_json(train_tokenizer(CAPTIONS, vocabulary_size=120)))
"""


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(CAPTIONS, vocabulary_size=120)


@pytest.mark.slow
def test_same_captions_give_the_same_bytes_in_another_process_and_order(tokenizer):
    child = subprocess.run(
        [sys.executable, "-c", CHILD],
        capture_output=True,
        check=True,
        cwd=Path(__file__).parents[3],
    )
    assert child.stdout.decode() == tokenizer_json(tokenizer)
    backwards = train_tokenizer(CAPTIONS[::-1], vocabulary_size=120)
    assert tokenizer_json(backwards) == tokenizer_json(tokenizer)


def test_a_vocabulary_too_small_for_the_alphabet_is_refused_with_the_size_it_needs():
    with pytest.raises(ConfigInvalid, match=r"text.vocabulary_size 6 cannot hold .* at least \d+"):
        train_tokenizer(CAPTIONS, vocabulary_size=6)


def test_links_and_handles_become_one_word_each(tokenizer):
    def words(caption):
        return tokenizer.backend_tokenizer.normalizer.normalize_str(caption).split()

    see = words("Hi @some_one: see HTTPS://x.y/z?a=b now")
    assert " ".join(see) == "hi atuser : see httpurl now"
    assert words("mail me@home.org #Tag") == ["mail", "me@home.org", "#tag"]
    assert tokenizer.tokenize("http://a.b @x") == tokenizer.tokenize("https://c.d/e @y")


@given(
    st.text(
        st.sampled_from("hHtTpPsSwW:/./._-x 1\t\n\x1c\x85\xa0éſK看\u0301\ufe0f\u200b@#"),
        max_size=30,
    )
)
@example("❤️https://t.co/x")
@example("看www.example.com")
@example("xhttp://a")
@example("http:// a")
@example("http://\x1c")
@example("httpſ://a")
def test_web_addresses_are_those_of_the_statistics(tokenizer, text):
    normalized = tokenizer.backend_tokenizer.normalizer.normalize_str(f"{text}\n")
    assert ("httpurl" in normalized) == holds_web_address(text)


def test_special_tokens_frame_a_caption_and_pad_is_zero(tokenizer):
    ids = tokenizer("sunrise")["input_ids"]
    assert ids[0] == tokenizer.cls_token_id
    assert ids[-1] == tokenizer.sep_token_id
    assert tokenizer.pad_token_id == 0
    assert tokenizer.mask_token_id < len(tokenizer) <= 120
    assert tokenizer("")["input_ids"] == [tokenizer.cls_token_id, tokenizer.sep_token_id]


def test_a_special_token_spelt_in_a_caption_is_text(tokenizer):
    assert (
        tokenizer.pad_token_id not in tokenizer("a [PAD] b", split_special_tokens=True)["input_ids"]
    )


def test_a_saved_tokenizer_does_the_same(tokenizer, tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_text(tokenizer_json(tokenizer))
    loaded = load_tokenizer(path)
    assert tokenizer_digest(loaded) == tokenizer_digest(tokenizer)
    for caption in CAPTIONS:
        assert loaded(caption)["input_ids"] == tokenizer(caption)["input_ids"]


def test_padding_a_batch_does_not_change_the_digest(tokenizer):
    before = tokenizer_digest(tokenizer)
    tokenizer(CAPTIONS, padding="max_length", truncation=True, max_length=8)
    assert tokenizer_digest(tokenizer) == before


def test_other_captions_give_another_digest(tokenizer):
    other = train_tokenizer([*CAPTIONS, "zebra zebra zebra zebra"], vocabulary_size=120)
    assert tokenizer_digest(other) != tokenizer_digest(tokenizer)
