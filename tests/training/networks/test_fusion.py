import numpy as np
import pytest
import torch

from tests.training.small_network import small_config, small_data, with_users
from training.encoding.all_users import encode_users
from training.mmga.message_gate import NodeInputs, drop_modalities
from training.mmga.model import build
from training.mmga.trainer import Trainer
from training.networks.fusion import GatedFusion
from training.runs.evaluate import representation_of

VIEWS = ("graph", "image", "text", "has_image", "has_text")


def views(num_users: int = 6) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        "graph_nD": torch.randn(num_users, 4, generator=generator),
        "image_nD": 100 * torch.randn(num_users, 6, generator=generator),
        "text_nD": torch.randn(num_users, 8, generator=generator),
        "has_image_n": torch.arange(num_users) != 1,
        "has_text_n": torch.arange(num_users) != 2,
    }


def fusion() -> GatedFusion:
    torch.manual_seed(0)
    return GatedFusion(graph_width=4, image_width=6, text_width=8)


@pytest.mark.parametrize("name", ["graph_nD", "image_nD", "text_nD"])
def test_every_view_that_a_user_has_is_in_the_fused_vector(name: str) -> None:
    unit, given = fusion(), views()
    before = unit(**given)
    changed = unit(**{**given, name: given[name].roll(1, dims=1)})
    moved = ((before - changed).abs() > 1e-6).any(1).tolist()
    lacking = {"graph_nD": None, "image_nD": 1, "text_nD": 2}[name]
    assert moved == [user != lacking for user in range(6)]


def test_the_gate_of_one_view_is_fed_by_all() -> None:
    unit, given = fusion(), views()
    with torch.no_grad():
        for each in (unit.maps[0], unit.maps[1]):
            each.weight.zero_()
            each.bias.zero_()
    changed = unit(**{**given, "image_nD": given["image_nD"].roll(1, dims=1)})
    assert not torch.allclose(unit(**given)[0], changed[0])


def nodes() -> NodeInputs:
    has_image = torch.tensor([True, True, False, False]).repeat(500)
    has_text = torch.tensor([True, False, True, False]).repeat(500)
    empty = torch.zeros(2000, 0)
    return NodeInputs(
        statistics=empty,
        image=empty,
        text=empty,
        has_image=has_image,
        has_text=has_text,
        signature=empty,
    )


@pytest.mark.parametrize("rate", [0.3, 1.0])
def test_one_modality_of_a_share_of_those_who_have_both_is_hidden(rate: float) -> None:
    torch.manual_seed(0)
    given = nodes()
    kept = drop_modalities(given, rate)
    both = given.has_image & given.has_text
    no_image, no_text = both & ~kept.has_image, both & ~kept.has_text
    assert not bool((no_image & no_text).any())
    assert abs(float(no_image[both].float().mean()) - rate / 2) < 0.06
    assert abs(float(no_text[both].float().mean()) - rate / 2) < 0.06
    assert torch.equal(kept.has_image[~both], given.has_image[~both])
    assert torch.equal(kept.has_text[~both], given.has_text[~both])


def test_nothing_is_hidden_at_rate_zero() -> None:
    given = nodes()
    kept = drop_modalities(given, 0.0)
    assert torch.equal(kept.has_image, given.has_image)
    assert torch.equal(kept.has_text, given.has_text)


def test_the_fused_vector_alone_is_what_is_judged_and_published() -> None:
    config = with_users(small_config(), fusion="gated")
    data = small_data(config)
    model = build(config, 16, seed=0)
    fused = encode_users(model, data, data.source, salt=b"salt")
    model.config = small_config()
    plain = encode_users(model, data, data.source, salt=b"salt")
    with torch.no_grad():
        expected = model.fusion(*(torch.from_numpy(getattr(plain, name)) for name in VIEWS))
    np.testing.assert_allclose(fused.graph, expected.numpy(), atol=1e-5)
    R_ND = representation_of(fused, "gated")
    assert R_ND[:, 16:].any() == 0
    assert R_ND[:, :16].any(1).all()
    assert representation_of(plain, "concat")[:, 16:].any()


def test_edges_train_the_fused_vector_and_so_the_views_in_it() -> None:
    config = with_users(small_config(), fusion="gated")
    trainer = Trainer(config, small_data(config), seed=0)
    trainer.refresh_bank()
    (batch,) = trainer.draw(7)
    losses = trainer.model(batch, trainer.bank)
    for name, reaches in (("node_feature", False), ("graph_structure", True)):
        trainer.model.zero_grad()
        losses[name].backward(retain_graph=True)
        touched = [each.grad is not None for each in trainer.model.fusion.parameters()]
        assert set(touched) == {reaches}
        assert trainer.model.graph.masked_node.grad is not None
