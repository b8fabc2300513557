"""What each loss counts and what it leaves out; test_learnability tells what they teach."""

import pytest
import torch
from torch import Tensor, nn

from tests.training.small_network import small_config
from training.mmga.objectives.graph_contrast import (
    NeighbourContrast,
    PairwiseContrast,
    next_negative,
)
from training.mmga.objectives.graph_structure import GraphStructureModelling
from training.mmga.objectives.node_features import NodeFeatureModelling, feature_errors
from training.networks.encoders import TextEncoder
from training.networks.image_text_contrast import ImageTextAlignment
from training.networks.language_modelling import CausalLanguageModelling, mask_tokens

WIDTH = 16


def pairs(num_pairs: int) -> tuple[Tensor, Tensor]:
    """Two noisy views of the same random vectors."""
    common = torch.randn(num_pairs, WIDTH)
    return common + 0.1 * torch.randn(num_pairs, WIDTH), common + 0.1 * torch.randn_like(common)


def test_alignment_holds_reposts_against_nobody() -> None:
    torch.manual_seed(0)
    module = ImageTextAlignment(image_width=WIDTH, text_width=WIDTH, width=32, temperature=0.07)
    image, text = (each.repeat(2, 1) for each in pairs(1))
    twins, negatives = torch.zeros(2, dtype=torch.long), torch.arange(2)
    assert float(module(image, text, twins, negatives).detach()) == pytest.approx(0.0)
    assert float(module(image, text, negatives, twins).detach()) == pytest.approx(0.0)
    assert float(module(image, text, negatives, negatives).detach()) > 0.1


def test_masking_spares_special_tokens_and_follows_80_10_10() -> None:
    config = small_config().text
    tokens = torch.randint(5, config.vocabulary_size, (400, 50))
    tokens[:, 0], tokens[:, -1], tokens[:, -2] = 2, 0, 3
    corrupted, targets = mask_tokens(tokens, config, 0.15, torch.Generator().manual_seed(0))
    assert not targets[:, [0, -1, -2]].any()
    assert torch.equal(corrupted[~targets], tokens[~targets])
    assert targets[:, 1:-2].float().mean() == pytest.approx(0.15, abs=0.01)
    fates = corrupted[targets]
    assert (fates == config.mask_id).float().mean() == pytest.approx(0.8, abs=0.02)
    assert (fates == tokens[targets]).float().mean() == pytest.approx(0.1, abs=0.02)
    assert (fates >= config.num_special)[fates != config.mask_id].all()


def test_node_features_of_users_that_are_not_masked_do_not_count() -> None:
    module = NodeFeatureModelling(width=WIDTH, num_features=8)
    vectors, features = torch.randn(4, WIDTH), torch.randn(4, 8)
    masked = torch.tensor([True, False, False, True])
    other = features.clone()
    other[1:3] = 1e6
    assert torch.equal(module(vectors, features, masked), module(vectors, other, masked))
    assert float(module(vectors, features, torch.zeros(4, dtype=torch.bool)).detach()) == 0.0


def test_mutual_edges_have_no_order_and_follows_have_one() -> None:
    torch.manual_seed(0)
    u, v = torch.randn(5, WIDTH), torch.randn(5, WIDTH)
    mutual = GraphStructureModelling(width=WIDTH, directed=False)
    follows = GraphStructureModelling(width=WIDTH, directed=True)
    torch.testing.assert_close(mutual.score(u, v), mutual.score(v, u))
    assert not torch.allclose(follows.score(u, v), follows.score(v, u))


def test_a_pair_in_no_mask_is_no_negative() -> None:
    head = NeighbourContrast(0.2)
    u = torch.randn(2, WIDTH)
    bank = torch.randn(1, WIDTH)
    nobody = torch.zeros(2, 3, dtype=torch.bool)
    assert float(head(u, u, bank, nobody, nobody)) == pytest.approx(0.0, abs=1e-6)
    somebody = nobody.clone()
    somebody[0, 2] = True
    assert float(head(u, u, bank, somebody, nobody)) > 0.0


def test_the_last_relu_of_equation_seven_can_stop_all_learning() -> None:
    u, v = pairs(8)
    everyone = ~torch.eye(8, dtype=torch.bool)
    gradients = {}
    for last_relu in (True, False):
        head = PairwiseContrast(WIDTH, literal=last_relu)
        nn.init.constant_(head.head[-1].bias, -100.0)
        loss = head(u, v, torch.zeros(0, WIDTH), everyone, everyone)
        loss.backward()
        gradients[last_relu] = float(head.head[0].weight.grad.abs().sum())
    assert gradients[True] == 0.0
    assert gradients[False] > 0.0


def test_pairs_have_no_order_but_in_the_literal_form() -> None:
    torch.manual_seed(0)
    u, v = pairs(8)
    everyone = ~torch.eye(8, dtype=torch.bool)
    for literal in (False, True):
        head = PairwiseContrast(WIDTH, literal=literal)
        forth, back = head._logits(u, v), head._logits(v, u)
        assert torch.allclose(forth, back) != literal
        assert float(head(u, v, torch.zeros(0, WIDTH), everyone, everyone).detach()) > 0


def test_each_seed_takes_a_negative_that_it_may_have_and_few_the_same() -> None:
    allowed = ~torch.eye(6, 9, dtype=torch.bool)
    allowed[2, 3:6] = False
    assert next_negative(allowed).tolist() == [1, 2, 6, 4, 5, 6]


def test_a_causal_token_is_predicted_from_those_before_it_alone() -> None:
    torch.manual_seed(0)
    config = small_config().text
    encoder, head = TextEncoder(config), CausalLanguageModelling(config, 0.1)
    tokens = torch.randint(5, 15, (4, 8))
    hidden = encoder.hidden(tokens, causal=True)
    words = torch.randn_like(encoder.word_embeddings)
    gradient = torch.autograd.grad(head.predict(hidden, tokens, words), hidden)[0]
    assert gradient[:, :-1].abs().sum(2).all()
    assert not gradient[:, -1].any()
    later = tokens.clone()
    later[:, 5:] = 14
    assert torch.equal(encoder.hidden(later, causal=True)[:, :5], hidden[:, :5])


@torch.no_grad()
def test_padding_and_special_tokens_are_no_causal_targets() -> None:
    config = small_config().text
    head = CausalLanguageModelling(config, 0.1)
    hidden, words = (
        torch.randn(1, 4, config.width),
        torch.randn(config.vocabulary_size, config.width),
    )
    bare = torch.tensor([[2, 3, 0, 0]])
    assert float(head.predict(hidden, bare, words)) == 0.0
    one, other = torch.tensor([[2, 7, 3, 0]]), torch.tensor([[2, 7, 3, 3]])
    assert float(head.predict(hidden, one, words)) == float(head.predict(hidden, other, words)) > 0


def test_the_cosine_error_looks_at_the_direction_alone() -> None:
    features = torch.randn(5, 8)
    assert torch.allclose(feature_errors(3 * features, features, "scaled_cosine"), torch.zeros(5))
    assert torch.allclose(
        feature_errors(-features, features, "scaled_cosine"), torch.full((5,), 4.0)
    )
    assert feature_errors(3 * features, features, "huber").min() > 0
