import torch

from training.networks.pooling import AttentionPooling, MeanPooling

VALUES = torch.tensor([[1.0, 0.0], [0.0, 2.0], [4.0, 4.0], [9.0, -9.0]])
OWNERS = torch.tensor([0, 0, 0, 2])


def attention() -> AttentionPooling:
    torch.manual_seed(0)
    pool = AttentionPooling(2)
    torch.nn.init.normal_(pool.query)
    return pool


def test_attention_begins_as_the_mean() -> None:
    means, has = MeanPooling()(VALUES, OWNERS, 3)
    pooled, has_any = AttentionPooling(2)(VALUES, OWNERS, 3)
    torch.testing.assert_close(pooled, means)
    assert has_any.tolist() == has.tolist() == [True, False, True]


def test_attention_weighs_the_posts_of_one_user_by_the_query() -> None:
    pool = attention()
    pooled, _ = pool(VALUES, OWNERS, 3)
    weights = torch.softmax(torch.tanh(pool.keys(VALUES[:3])) @ pool.query, dim=0)
    torch.testing.assert_close(pooled[0], weights @ VALUES[:3])
    assert weights.max() - weights.min() > 0.01
    assert pooled[1].tolist() == [0.0, 0.0]
    torch.testing.assert_close(pooled[2], VALUES[3])


def test_a_user_vector_does_not_depend_on_the_posts_of_others_nor_on_their_order() -> None:
    pool = attention()
    pooled, _ = pool(VALUES, OWNERS, 3)
    order = torch.tensor([2, 0, 1])
    alone, _ = pool(VALUES[order], OWNERS[order], 1)
    torch.testing.assert_close(alone[0], pooled[0])


def test_the_query_learns_which_posts_tell_of_a_user() -> None:
    pool = AttentionPooling(2)
    optimiser = torch.optim.Adam(pool.parameters(), lr=0.05)
    for _ in range(100):
        loss = (pool(VALUES, OWNERS, 3)[0][0] - VALUES[2]).square().sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 0.1 < (VALUES[:3].mean(0) - VALUES[2]).square().sum()


def test_great_scores_do_not_overflow() -> None:
    pool = attention()
    pool.query.data *= 1e5
    pooled, _ = pool(VALUES, OWNERS, 3)
    nearest = (torch.tanh(pool.keys(VALUES[:3])) @ pool.query).argmax()
    torch.testing.assert_close(pooled[0], VALUES[nearest])
