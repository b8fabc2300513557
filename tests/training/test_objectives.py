"""Each loss falls on data that can be learned, and not when pairs or targets are shuffled."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tests.training.small_network import small_config
from training.encoders import TextEncoder
from training.objectives.graph_contrastive import NeighbourContrast, PairwiseContrast
from training.objectives.graph_structure_modelling import GraphStructureModelling
from training.objectives.image_text_alignment import ImageTextAlignment
from training.objectives.masked_language_modelling import MaskedLanguageModelling, mask_tokens
from training.objectives.node_feature_modelling import NodeFeatureModelling

NUM_STEPS = 50
WIDTH = 16


def last_loss(module: nn.Module, loss: Callable[[], Tensor], learning_rate: float = 1e-2) -> float:
    """Mean of the last ten of fifty steps; each step draws new data."""
    optimiser = torch.optim.AdamW(module.parameters(), lr=learning_rate)
    losses = []
    for _ in range(NUM_STEPS):
        value = loss()
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        losses.append(float(value.detach()))
    return sum(losses[-10:]) / 10


def learned_and_shuffled(make: Callable[[bool], tuple[nn.Module, Callable[[], Tensor]]]) -> tuple:
    outcomes = []
    for shuffled in (False, True):
        torch.manual_seed(0)
        outcomes.append(last_loss(*make(shuffled)))
    return tuple(outcomes)


def pairs(num_pairs: int) -> tuple[Tensor, Tensor]:
    """Two noisy views of the same random vectors."""
    common = torch.randn(num_pairs, WIDTH)
    return common + 0.1 * torch.randn(num_pairs, WIDTH), common + 0.1 * torch.randn_like(common)


def test_alignment_learns_pairs_and_only_pairs() -> None:
    def make(shuffled: bool) -> tuple[nn.Module, Callable[[], Tensor]]:
        module = ImageTextAlignment(image_width=WIDTH, text_width=WIDTH, width=32, temperature=0.07)

        def loss() -> Tensor:
            image, text = pairs(32)
            text = text[torch.randperm(32)] if shuffled else text
            return module(image, text, torch.arange(32), torch.arange(32))

        return module, loss

    learned, shuffled = learned_and_shuffled(make)
    assert learned < 0.5
    assert shuffled > 3.0


def test_alignment_holds_reposts_against_nobody() -> None:
    torch.manual_seed(0)
    module = ImageTextAlignment(image_width=WIDTH, text_width=WIDTH, width=32, temperature=0.07)
    image, text = (each.repeat(2, 1) for each in pairs(1))
    twins, strangers = torch.zeros(2, dtype=torch.long), torch.arange(2)
    assert float(module(image, text, twins, strangers).detach()) == pytest.approx(0.0)
    assert float(module(image, text, strangers, twins).detach()) == pytest.approx(0.0)
    assert float(module(image, text, strangers, strangers).detach()) > 0.1


def test_language_modelling_learns_to_copy_its_context_and_only_that() -> None:
    config = small_config().text

    def make(shuffled: bool) -> tuple[nn.Module, Callable[[], Tensor]]:
        encoder = TextEncoder(config)
        head = MaskedLanguageModelling(config, 0.1)
        generator = torch.Generator().manual_seed(0)

        def loss() -> Tensor:
            words = torch.randint(5, 15, (32, 1), generator=generator)
            tokens = words.repeat(1, 8)
            if shuffled:
                tokens = torch.randint(5, 15, (32, 8), generator=generator)
            corrupted, targets = mask_tokens(tokens, config, 0.3, generator)
            return head(encoder.hidden(corrupted), tokens, targets, encoder.word_embeddings)

        return nn.ModuleList([encoder, head]), loss

    learned, shuffled = learned_and_shuffled(make)
    assert learned < shuffled - 0.5


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


def test_node_features_are_learned_from_vectors_that_tell_them_and_only_from_those() -> None:
    truth = torch.randn(WIDTH, 8)

    def make(shuffled: bool) -> tuple[nn.Module, Callable[[], Tensor]]:
        module = NodeFeatureModelling(width=WIDTH, num_features=8)

        def loss() -> Tensor:
            vectors = torch.randn(64, WIDTH)
            features = vectors @ truth / 4
            features = features[torch.randperm(64)] if shuffled else features
            return module(vectors, features, torch.rand(64) < 0.5)

        return module, loss

    learned, shuffled = learned_and_shuffled(make)
    assert learned < 0.5 * shuffled


def test_node_features_of_users_that_are_not_masked_do_not_count() -> None:
    module = NodeFeatureModelling(width=WIDTH, num_features=8)
    vectors, features = torch.randn(4, WIDTH), torch.randn(4, 8)
    masked = torch.tensor([True, False, False, True])
    other = features.clone()
    other[1:3] = 1e6
    assert torch.equal(module(vectors, features, masked), module(vectors, other, masked))
    assert float(module(vectors, features, torch.zeros(4, dtype=torch.bool)).detach()) == 0.0


@pytest.mark.parametrize("directed", [False, True])
def test_structure_is_learned_from_connected_pairs_and_only_from_those(directed: bool) -> None:
    def make(shuffled: bool) -> tuple[nn.Module, Callable[[], Tensor]]:
        module = GraphStructureModelling(width=WIDTH, directed=directed)

        def loss() -> Tensor:
            u, v = pairs(128)
            v = torch.cat([v[:64], v[64:].roll(1, 0)])
            connected = (torch.arange(128) < 64).float()
            connected = connected[torch.randperm(128)] if shuffled else connected
            return module(u, v, connected)

        return module, loss

    learned, shuffled = learned_and_shuffled(make)
    assert learned < 0.45
    assert shuffled > 0.65


def test_mutual_edges_have_no_order_and_follows_have_one() -> None:
    torch.manual_seed(0)
    u, v = torch.randn(5, WIDTH), torch.randn(5, WIDTH)
    mutual = GraphStructureModelling(width=WIDTH, directed=False)
    follows = GraphStructureModelling(width=WIDTH, directed=True)
    torch.testing.assert_close(mutual.score(u, v), mutual.score(v, u))
    assert not torch.allclose(follows.score(u, v), follows.score(v, u))


CONTRASTS: dict[str, Callable[[], nn.Module]] = {
    "infonce": lambda: NeighbourContrast(0.2),
    "pairwise": lambda: PairwiseContrast(WIDTH, literal=False),
    "paper_literal": lambda: PairwiseContrast(WIDTH, literal=True),
}


def contrast_outcomes(name: str) -> tuple[float, float]:
    """An encoder must find, among noise, the dimensions that connected users share."""
    everyone = ~torch.eye(48, dtype=torch.bool)[:32]

    def make(shuffled: bool) -> tuple[nn.Module, Callable[[], Tensor]]:
        encoder, head = nn.Linear(2 * WIDTH, WIDTH), CONTRASTS[name]()

        def loss() -> Tensor:
            u, v = pairs(32)
            v = v[torch.randperm(32)] if shuffled else v
            u, v = (encoder(torch.cat([each, torch.randn_like(each)], 1)) for each in (u, v))
            bank = encoder(torch.randn(16, 2 * WIDTH)).detach()
            return head(u, v, bank, everyone, everyone)

        return nn.ModuleList([encoder, head]), loss

    return learned_and_shuffled(make)


def test_contrast_over_neighbours_learns_connections_and_only_those() -> None:
    learned, shuffled = contrast_outcomes("infonce")
    assert learned < shuffled - 1.0


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
