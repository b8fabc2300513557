import numpy as np
import torch

from tests.training.small_network import small_config, small_data
from training.mmga.trainer import Trainer
from training.mmga.user_bank import ModalVectors, UserBank, bank_of


def vectors(value: float, has_image: list[bool], has_text: list[bool]) -> ModalVectors:
    num_users = len(has_image)
    return ModalVectors(
        image=torch.full((num_users, 2), value, requires_grad=True),
        text=torch.full((num_users, 3), value, requires_grad=True),
        has_image=torch.tensor(has_image),
        has_text=torch.tensor(has_text),
    )


def bank_for(has_image: list[bool], has_text: list[bool]) -> UserBank:
    return UserBank(np.array(has_image), np.array(has_text), image_width=2, text_width=3)


def test_what_a_user_lacks_in_one_encoding_stays_as_it_was() -> None:
    bank = bank_for([True] * 3, [True] * 3)
    bank.write(torch.tensor([0, 2]), vectors(1.0, [True, False], [True, True]))
    bank.write(torch.tensor([2, 0]), vectors(2.0, [True, False], [False, True]))
    known = bank.read(torch.arange(3))
    assert known.image[:, 0].tolist() == [1.0, 0.0, 2.0]
    assert known.text[:, 0].tolist() == [2.0, 0.0, 1.0]
    assert known.has_image.tolist() == [True, False, True]
    assert known.has_text.tolist() == [True, False, True]


def test_users_without_posts_cost_no_row_and_are_never_known() -> None:
    bank = bank_for([False, True, False, False], [False, True, True, False])
    assert {name: len(tensor) for name, tensor in bank.state().items()} == {
        "image": 1,
        "image_written": 1,
        "text": 2,
        "text_written": 2,
    }
    assert bank.is_empty
    bank.write(torch.arange(4), vectors(float("nan"), [False] * 4, [False] * 4))
    assert bank.is_empty
    bank.write(torch.arange(4), vectors(1.0, [False, True, False, False], [True] * 4))
    known = bank.read(torch.tensor([3, 2, 1, 0]))
    assert known.has_image.tolist() == [False, False, True, False]
    assert known.has_text.tolist() == [False, True, True, False]
    assert known.image[:, 0].tolist() == [0.0, 0.0, 1.0, 0.0]
    assert known.text[:, 0].tolist() == [0.0, 1.0, 1.0, 0.0]


def test_the_bank_knows_how_long_ago_its_vectors_were_written() -> None:
    bank = bank_for([True, True, True], [True, True, False])
    assert torch.isnan(bank.staleness(torch.arange(3), 4))
    bank.step = 4
    bank.write(torch.tensor([0, 1]), vectors(1.0, [True, True], [True, True]))
    bank.step = 10
    bank.write(torch.tensor([1]), vectors(2.0, [True], [False]))
    assert float(bank.staleness(torch.tensor([0]), 10)) == 6.0
    assert float(bank.staleness(torch.tensor([1]), 10)) == 3.0  # image 0, text 6
    assert float(bank.staleness(torch.arange(3), 12)) == (8 + 8 + 2 + 8) / 4


def test_no_gradient_passes_through_the_bank() -> None:
    bank = bank_for([True, True], [True, True])
    bank.write(torch.tensor([1]), vectors(1.0, [True], [True]))
    assert not bank.read(torch.tensor([1])).text.requires_grad


def test_a_bank_takes_over_the_state_of_another() -> None:
    bank, other = (bank_for([True, False, True], [True] * 3) for _ in range(2))
    bank.step = 3
    bank.write(torch.tensor([0, 2]), vectors(1.0, [True, True], [True, False]))
    other.load({name: tensor.clone() for name, tensor in bank.state().items()})
    for name, tensor in bank.state().items():
        assert torch.equal(tensor, other.state()[name])
    assert float(other.staleness(torch.arange(3), 5)) == 2.0


def test_the_bank_of_a_run_has_rows_for_those_who_post_and_steps_write_their_number() -> None:
    config = small_config()
    data = small_data(config)
    trainer = Trainer(config, data, seed=0)
    for number in range(7):  # 4 of phase 0, 3 with the graph contrastive loss
        trainer.step(number)
    state = trainer.bank.state()
    assert len(state["image"]) == 54  # users 5, 15, 25, … have no image
    assert len(state["text"]) == 57  # users 7, 27, 47 have no words
    assert {1, 5, 6, 7}.issuperset(state["text_written"].tolist())
    assert (state["text_written"] == 7).any()
    assert bank_of(data, config).is_empty
