"""WordPiece tokenizers: learned from captions, byte for byte the same, or of pretrained weights.

Captions are lower-cased and stripped of accents (BERT's own normaliser). Before that every URL
becomes the word `httpurl` and every @handle the word `atuser` (as BERTweet does): shortened links
carry no meaning, and whom a post mentions is an edge of the graph; spelling it out in the text
would also let the text encoder learn names of users that are erased later. Hashtags stay words.
Before a pretrained tokenizer the two words are `link` and `someone`, which its vocabulary has.
"""

import hashlib
from collections import Counter
from collections.abc import Collection
from pathlib import Path

from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import WordPiece
from tokenizers.trainers import WordPieceTrainer
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from foundation.web_address import WEB_ADDRESS
from training.errors import ConfigInvalid, WeightsUnusable
from training.networks.config import TextEncoderConfig
from training.networks.weights import from_cache_or_hub, one_line, source

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
PREFIX = "##"
URL = Regex(WEB_ADDRESS)
HANDLE = Regex(r"(?<![\w@])@\w{1,30}")
MAX_ALPHABET = 1_000
"""Characters beyond the most frequent ones are unknown: emoji would else fill a vocabulary."""


def train_tokenizer(captions: Collection[str], *, vocabulary_size: int) -> PreTrainedTokenizerFast:
    """Learn a WordPiece vocabulary; the same captions, in any order, give the same bytes.

    The library's trainer numbers pieces in the order of a randomly seeded hash map, and breaks
    ties by number. So the alphabet is counted and ordered here, and its pieces are numbered first.
    Raises ConfigInvalid for a vocabulary that cannot hold the alphabet.
    """
    learner = blank_tokenizer(WordPiece(unk_token="[UNK]"))  # noqa: S106
    alphabet = most_frequent_characters(captions, learner)
    trainer = WordPieceTrainer(
        vocab_size=vocabulary_size,
        special_tokens=[*SPECIAL_TOKENS, *(PREFIX + character for character in alphabet)],
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        show_progress=False,
    )
    learner.train_from_iterator(captions, trainer)
    if learner.get_vocab_size() > vocabulary_size:
        raise ConfigInvalid(
            f"text.vocabulary_size {vocabulary_size} cannot hold the characters of the captions; "
            f"take at least {learner.get_vocab_size()}"
        )
    # A fresh tokenizer: in the learner the pieces of the alphabet are special tokens.
    tokenizer = blank_tokenizer(WordPiece(learner.get_vocab(), unk_token="[UNK]"))  # noqa: S106
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    return wrap(tokenizer)


def pretrained_tokenizer(config: TextEncoderConfig) -> PreTrainedTokenizerFast:
    """The tokenizer beside the pretrained weights that the config names, our replacements first.

    Raises WeightsUnusable, also where its ids are not those of the config.
    """
    name = str(config.pretrained)
    with one_line(name):
        found = from_cache_or_hub(AutoTokenizer, source(name))
    backend = getattr(found, "backend_tokenizer", None)
    if backend is None or set(SPECIAL_TOKENS) - set(backend.get_vocab()):
        raise WeightsUnusable(
            f"the tokenizer of {name} is not BERT's ({', '.join(SPECIAL_TOKENS)}); "
            "name weights with one that is"
        )
    backend = Tokenizer.from_str(backend.to_str())
    own = [backend.normalizer] if backend.normalizer else []
    backend.normalizer = normalizers.Sequence(replacements(url="link", handle="someone") + own)
    backend.no_truncation()
    backend.no_padding()
    tokenizer = wrap(backend)
    check_ids(tokenizer, config)
    return tokenizer


def check_ids(tokenizer: PreTrainedTokenizerFast, config: TextEncoderConfig) -> None:
    """Raises WeightsUnusable where the tokenizer's ids are not those that the config says."""
    pairs = {
        "pad_id": (tokenizer.pad_token_id, config.pad_id),
        "mask_id": (tokenizer.mask_token_id, config.mask_id),
        "vocabulary_size": (max(tokenizer.get_vocab().values()) + 1, config.vocabulary_size),
    }
    for name, (there, here) in pairs.items():
        if there != here:
            raise WeightsUnusable(
                f"the tokenizer of {config.pretrained} has {name} {there}, not {here}; "
                f"set text.{name} to {there}"
            )


def load_tokenizer(path: Path) -> PreTrainedTokenizerFast:
    """A tokenizer from the JSON that `tokenizer_json` gave."""
    return wrap(Tokenizer.from_file(str(path)))


def tokenizer_json(tokenizer: PreTrainedTokenizerFast) -> str:
    """The whole tokenizer as one JSON document, free of truncation and padding state."""
    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    backend.no_truncation()
    backend.no_padding()
    document: str = backend.to_str()
    return document


def tokenizer_digest(tokenizer: PreTrainedTokenizerFast) -> str:
    """16 hexadecimal digits that name what the tokenizer does."""
    return hashlib.blake2b(tokenizer_json(tokenizer).encode(), digest_size=8).hexdigest()


def blank_tokenizer(model: WordPiece) -> Tokenizer:
    """The normalisation and word splitting of this module round a model."""
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence(
        [*replacements(url="httpurl", handle="atuser"), normalizers.BertNormalizer()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def replacements(*, url: str, handle: str) -> list[normalizers.Normalizer]:
    """One word for every URL and one for every handle."""
    return [normalizers.Replace(URL, f" {url} "), normalizers.Replace(HANDLE, f" {handle} ")]


def most_frequent_characters(captions: Collection[str], tokenizer: Tokenizer) -> list[str]:
    """Up to MAX_ALPHABET characters by descending count, then by code point."""
    counts: Counter[str] = Counter()
    for caption in captions:
        counts.update(tokenizer.normalizer.normalize_str(caption))
    characters = [character for character in counts if not character.isspace()]
    return sorted(characters, key=lambda character: (-counts[character], character))[:MAX_ALPHABET]


def wrap(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    """[CLS] caption [SEP], behind the interface of transformers."""
    vocabulary = tokenizer.get_vocab()
    tokenizer.post_processor = processors.BertProcessing(
        ("[SEP]", vocabulary["[SEP]"]), ("[CLS]", vocabulary["[CLS]"])
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",  # noqa: S106
        unk_token="[UNK]",  # noqa: S106
        cls_token="[CLS]",  # noqa: S106
        sep_token="[SEP]",  # noqa: S106
        mask_token="[MASK]",  # noqa: S106
    )
