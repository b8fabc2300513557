import torch

from tests.training.small_network import small_config
from training.encoders import ImageEncoder, TextEncoder, masked_mean
from training.pooling import mean_by_owner
from training.recipe import recipe


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


def test_images_of_bytes_become_vectors() -> None:
    config = small_config().image
    pixels = torch.randint(0, 256, (3, 3, config.image_size, config.image_size)).to(torch.uint8)
    assert ImageEncoder(config)(pixels).shape == (3, config.width)


def test_a_user_vector_is_the_mean_of_their_posts_and_absent_without_any() -> None:
    values = torch.tensor([[2.0, 0.0], [4.0, 2.0], [7.0, 7.0]])
    means, has = mean_by_owner(values, torch.tensor([0, 0, 2]), 3)
    assert means.tolist() == [[3.0, 1.0], [0.0, 0.0], [7.0, 7.0]]
    assert has.tolist() == [True, False, True]


def test_the_tiny_text_encoder_fits_a_cpu() -> None:
    encoder = TextEncoder(recipe("tiny").text)
    assert sum(each.numel() for each in encoder.parameters()) < 2_000_000
