import dataclasses

import pytest
import torch

from tests.training.small_network import small_config
from training.mmga.recipes import recipe
from training.networks.config import ComputeConfig
from training.networks.encoders import ImageEncoder, TextEncoder, masked_mean
from training.networks.pooling import MeanPooling

TOKENS = torch.tensor([[2, 7, 8, 9, 3], [2, 11, 12, 3, 0]])
PIXELS = torch.arange(2 * 3 * 16 * 16).reshape(2, 3, 16, 16).remainder(251).to(torch.uint8)


def encoders(compute: ComputeConfig, dropout: float = 0.0) -> tuple[TextEncoder, ImageEncoder]:
    config = small_config()
    torch.manual_seed(0)
    return (
        TextEncoder(dataclasses.replace(config.text, num_layers=2, dropout=dropout), compute),
        ImageEncoder(dataclasses.replace(config.image, num_layers=2, dropout=dropout), compute),
    )


def passes(compute: ComputeConfig, dropout: float = 0.0) -> list[torch.Tensor]:
    """Vectors and then gradients of both encoders."""
    results = []
    for encoder, inputs in zip(encoders(compute, dropout), (TOKENS, PIXELS), strict=True):
        torch.manual_seed(1)
        vectors = encoder(inputs)
        (vectors * torch.linspace(-1, 1, vectors.shape[1])).sum().backward()
        results += [vectors.detach(), *(each.grad for each in encoder.parameters())]
    return results


def test_padding_changes_no_caption_vector() -> None:
    config = small_config().text
    encoder = TextEncoder(config).eval()
    tokens = torch.tensor([[2, 7, 8, 3]])
    padded = torch.cat([tokens, torch.zeros(1, 5, dtype=torch.long)], dim=1)
    torch.testing.assert_close(encoder(tokens), encoder(padded), atol=1e-5, rtol=1e-4)


def test_mean_pooling_reads_no_padding_either() -> None:
    values = torch.tensor([[[1.0], [3.0], [100.0]], [[5.0], [100.0], [100.0]]])
    mask = torch.tensor([[True, True, False], [True, False, False]])
    assert masked_mean(values, mask).tolist() == [[2.0], [5.0]]


def test_a_causal_encoder_reads_nothing_that_comes_later() -> None:
    encoder = TextEncoder(small_config().text).eval()
    other = TOKENS.clone()
    other[:, 2:] = torch.tensor([[20, 21, 22], [23, 24, 0]])
    seen, changed = encoder.hidden(TOKENS, causal=True), encoder.hidden(other, causal=True)
    torch.testing.assert_close(seen[:, :2], changed[:, :2])
    assert not torch.allclose(seen[:, 2:], changed[:, 2:])
    assert not torch.allclose(encoder.hidden(TOKENS)[:, :2], encoder.hidden(other)[:, :2])
    shorter = encoder.hidden(TOKENS[1:, :4], causal=True)
    torch.testing.assert_close(seen[1:, :4], shorter, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("causal", [True, False])
def test_no_captions_have_no_vectors(causal: bool) -> None:
    """As where a graph has so few posts that none is held out."""
    encoder = TextEncoder(small_config().text)
    assert encoder.hidden(TOKENS[:0], causal=causal).shape == (0, 5, encoder.config.width)
    assert encoder(TOKENS[:0]).shape == (0, encoder.config.width)


def test_images_of_bytes_become_vectors() -> None:
    config = small_config().image
    pixels = torch.randint(0, 256, (3, 3, config.image_size, config.image_size)).to(torch.uint8)
    assert ImageEncoder(config)(pixels).shape == (3, config.width)


def test_a_user_vector_is_the_mean_of_their_posts_and_absent_without_any() -> None:
    values = torch.tensor([[2.0, 0.0], [4.0, 2.0], [7.0, 7.0]])
    means, has = MeanPooling()(values, torch.tensor([0, 0, 2]), 3)
    assert means.tolist() == [[3.0, 1.0], [0.0, 0.0], [7.0, 7.0]]
    assert has.tolist() == [True, False, True]


def test_the_tiny_text_encoder_fits_a_cpu() -> None:
    encoder = TextEncoder(recipe("tiny").text)
    assert sum(each.numel() for each in encoder.parameters()) < 2_000_000


def test_activations_that_are_computed_again_give_the_same_gradients() -> None:
    plain = passes(ComputeConfig(), dropout=0.2)
    again = passes(ComputeConfig(checkpointed=True), dropout=0.2)
    assert all(torch.equal(one, other) for one, other in zip(plain, again, strict=True))
    text, image = encoders(ComputeConfig(checkpointed=True))
    assert all(
        layer.gradient_checkpointing for layer in (*text.bert.encoder.layer, *image.vit.layers)
    )


@pytest.mark.slow
def test_a_compiled_encoder_computes_the_same_under_the_same_names() -> None:
    plain, compiled = (encoders(ComputeConfig(compiled=each))[0] for each in (False, True))
    assert list(plain.state_dict()) == list(compiled.state_dict())
    for encoder in (plain, compiled):
        encoder(TOKENS).square().sum().backward()
    torch.testing.assert_close(plain(TOKENS), compiled(TOKENS), atol=1e-4, rtol=1e-3)
    for one, other in zip(plain.parameters(), compiled.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, atol=1e-4, rtol=1e-3)


def test_vectors_of_bf16_products_are_float32_and_near() -> None:
    plain, rounding = encoders(ComputeConfig()), encoders(ComputeConfig(precision="bf16"))
    for encoder, in_bf16, inputs in zip(plain, rounding, (TOKENS, PIXELS), strict=True):
        with torch.no_grad():
            exact, rounded = encoder(inputs), in_bf16(inputs)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                under_autocast = encoder(inputs)
        assert rounded.dtype == under_autocast.dtype == torch.float32
        assert torch.equal(rounded, under_autocast)
        assert not torch.equal(exact, rounded)
        torch.testing.assert_close(exact, rounded, atol=0.1, rtol=0.1)


def test_attention_is_torchs_own() -> None:
    text, image = encoders(ComputeConfig())
    assert text.bert.config._attn_implementation == image.vit.config._attn_implementation == "sdpa"
