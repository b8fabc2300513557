import torch

from training.user_bank import ModalVectors, UserBank


def vectors(value: float, has_image: list[bool], has_text: list[bool]) -> ModalVectors:
    num_users = len(has_image)
    return ModalVectors(
        image=torch.full((num_users, 2), value, requires_grad=True),
        text=torch.full((num_users, 3), value, requires_grad=True),
        has_image=torch.tensor(has_image),
        has_text=torch.tensor(has_text),
    )


def test_what_a_user_lacks_in_one_encoding_stays_as_it_was() -> None:
    bank = UserBank(3, image_width=2, text_width=3)
    bank.write(torch.tensor([0, 2]), vectors(1.0, [True, False], [True, True]))
    bank.write(torch.tensor([2, 0]), vectors(2.0, [True, False], [False, True]))
    assert bank.image[:, 0].tolist() == [1.0, 0.0, 2.0]
    assert bank.text[:, 0].tolist() == [2.0, 0.0, 1.0]
    assert bank.has_image.tolist() == [True, False, True]
    assert bank.has_text.tolist() == [True, False, True]


def test_no_gradient_passes_through_the_bank() -> None:
    bank = UserBank(2, image_width=2, text_width=3)
    bank.write(torch.tensor([1]), vectors(1.0, [True], [True]))
    assert not bank.read(torch.tensor([1])).text.requires_grad


def test_a_bank_takes_over_the_state_of_another() -> None:
    bank, other = (UserBank(2, image_width=2, text_width=3) for _ in range(2))
    bank.write(torch.tensor([1]), vectors(1.0, [True], [True]))
    other.load({name: tensor.clone() for name, tensor in bank.state().items()})
    for name, tensor in bank.state().items():
        assert torch.equal(tensor, other.state()[name])
