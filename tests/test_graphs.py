"""Graphs and point clouds: against literal sums, exact under every renumbering, and the controls that are not."""

import pytest
import torch

from gdl_utils.equivariance import equivariance_error, relative_error
from gdl_utils.layers import Adjacency, EGNNLayer, GraphConv


def random_graph(n=9, edges=30, weighted=True):
    """Edges with duplicates and self-loops among them; node n - 1 has none."""
    edge_index = torch.randint(n - 1, (2, edges))
    edge_index[:, 1], edge_index[:, 2] = edge_index[:, 0], 3
    return Adjacency(edge_index, n, torch.rand(edges, dtype=torch.float64) if weighted else None)


def literal(A, x):
    """One message after another, as the docstring has it."""
    y = torch.zeros_like(x)
    for (j, i), w in zip(A.edge_index.T.tolist(), A.weight.tolist(), strict=True):
        y[i] += w * x[j]
    return y


def test_the_product_is_the_literal_sum_and_its_gradient_is_that_of_the_dense_matrix():
    A, x = random_graph(), torch.randn(9, 4, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(A @ x, literal(A, x.detach()), rtol=0, atol=1e-14)
    torch.testing.assert_close(A @ x, A.dense() @ x, rtol=0, atol=1e-14)
    g = torch.randn(9, 4, dtype=torch.float64)
    (ours,) = torch.autograd.grad(A @ x, x, g)
    torch.testing.assert_close(ours, A.dense().T @ g, rtol=0, atol=1e-14)
    assert not torch.allclose(ours, A.dense() @ g)  # the control: a graph whose edges have a direction
    assert torch.autograd.gradcheck(lambda x: A @ x, x)


def test_means_and_symmetric_weights_are_those_of_the_formulas():
    A = random_graph()
    dense, total = A.dense(), A.dense().sum(1, keepdim=True)
    assert relative_error(A.mean().dense(), torch.where(total > 0, dense / total, 0)) <= 1e-12
    looped = dense + torch.eye(9)
    scale = looped.sum(1).rsqrt()
    assert relative_error(A.normalised().dense(), scale[:, None] * looped * scale) <= 1e-12
    scale = dense.sum(1).clamp(min=1).rsqrt()  # the control: the formula without the loops
    assert relative_error(A.normalised().dense(), scale[:, None] * dense * scale) > 0.1


def test_what_odd_graphs_give_is_what_the_docstring_says():
    x = torch.randn(3, 2, dtype=torch.float64)
    none = Adjacency(torch.zeros(2, 0, dtype=torch.int64), 3)
    assert (none @ x).eq(0).all() and (none.mean() @ x).eq(0).all()
    assert relative_error(none.normalised() @ x, x) <= 1e-12  # loops alone
    twice = Adjacency(torch.tensor([[0, 0], [1, 1]]), 3)
    assert torch.equal((twice @ x)[1], 2 * x[0]) and relative_error((twice.mean() @ x)[1], x[0]) <= 1e-12
    loop = Adjacency(torch.tensor([[2], [2]]), 3)
    assert torch.equal((loop @ x)[2], x[2])
    path = Adjacency(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), 3)
    x[0] = float("nan")
    assert (path @ x).isnan().any(1).tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("error", "words", "arguments"),
    [
        (IndexError, r"edge 1 is \(0, 3\)", ([[0, 0], [1, 3]], 3)),
        (IndexError, "edge 0", ([[-1], [0]], 3)),
        (TypeError, "float", ([[0.0], [1.0]], 3)),
        (TypeError, "bool", ([[True], [False]], 3)),
        (ValueError, r"\(2, number of edges\)", ([[0, 1, 2]], 3)),
        (ValueError, "n: got 0", (torch.zeros(2, 0, dtype=torch.int64), 0)),
        (ValueError, "not one for each of 1 edges", ([[0], [1]], 3, torch.ones(2))),
        (ValueError, "not finite", ([[0], [1]], 3, torch.tensor([float("nan")]))),
        (ValueError, "gradient", ([[0], [1]], 3, torch.ones(1, requires_grad=True))),
    ],
)
def test_a_graph_that_is_none_is_refused(error, words, arguments):
    with pytest.raises(error, match=words):
        Adjacency(*arguments)


def test_inputs_that_do_not_fit_are_refused():
    A = random_graph()
    for x in (torch.zeros(8, 2), torch.zeros(9), torch.zeros(9, 2, dtype=torch.int64)):
        with pytest.raises(ValueError, match="x: got"):
            A @ x
    with pytest.raises(ValueError, match="each once"):
        A.permuted([0] * 9)
    with pytest.raises(ValueError, match="negative"):
        Adjacency([[0], [1]], 2, -torch.ones(1)).normalised()
    with pytest.raises(ValueError, match="n ≥ 2"):
        EGNNLayer(2)(torch.zeros(1, 2), torch.zeros(1, 3))


def rows(p):
    """Reorder a signal on nodes: what was at i is at p[i] afterwards."""
    return lambda x: x[..., p.argsort(), :]


@pytest.mark.parametrize("kind", [lambda A: A, Adjacency.mean, Adjacency.normalised])
def test_message_passing_goes_through_a_renumbering_with_its_matrix_and_not_without(kind):
    A, x, p = random_graph(), torch.randn(9, 4, dtype=torch.float64), torch.randperm(9)
    first, second = GraphConv(4, 8).double(), GraphConv(8, 3).double()
    f = lambda x, A: second(first(x, kind(A)).relu(), kind(A))
    act = lambda inputs: (rows(p)(inputs[0]), inputs[1].permuted(p))
    forget = lambda inputs: (rows(p)(inputs[0]), inputs[1])
    assert equivariance_error(f, (x, A), act, rows(p)) <= 1e-12
    assert equivariance_error(f, (x, A), forget, rows(p)) > 0.01


def motion(d, mirror=False):
    Q = torch.linalg.qr(torch.randn(d, d, dtype=torch.float64)).Q
    Q[:, 0] *= torch.linalg.det(Q) * (-1 if mirror else 1)
    return Q, torch.randn(d, dtype=torch.float64)


@pytest.mark.parametrize("d", [2, 3, 5])
@pytest.mark.parametrize("mirror", [False, True])
def test_egnn_moves_along_with_turns_mirrors_shifts_and_renumbering(d, mirror):
    layers = [EGNNLayer(4).double() for _ in range(2)]
    f = lambda h, x: layers[1](*layers[0](h, x))
    h, x = torch.randn(3, 7, 4, dtype=torch.float64), torch.randn(3, 7, d, dtype=torch.float64)
    (Q, t), p = motion(d, mirror), torch.randperm(7)
    act = lambda hx: (rows(p)(hx[0]), rows(p)(hx[1]) @ Q.T + t)
    assert equivariance_error(f, (h, x), act, act) <= 1e-12
    stretch = lambda hx: (hx[0], 1.5 * hx[1])
    assert equivariance_error(f, (h, x), stretch, stretch) > 1e-3


def test_egnn_is_the_formula():
    layer = EGNNLayer(2, hidden=5).double()
    h, x = torch.randn(4, 2, dtype=torch.float64), torch.randn(4, 3, dtype=torch.float64)
    h_new, x_new = layer(h, x)
    for i in range(4):
        m = [layer.message(torch.cat([h[i], h[j], ((x[i] - x[j]) ** 2).sum()[None]])) for j in range(4)]
        others = [j for j in range(4) if j != i]
        moved = x[i] + sum((x[i] - x[j]) * layer.step(m[j]) for j in others) / 3
        told = torch.cat([h[i], sum(m[j] for j in others) / 3])
        assert relative_error(x_new[i], moved) <= 1e-12
        assert relative_error(h_new[i], h[i] + layer.update(told)) <= 1e-12
        summed = x[i] + 3 * (moved - x[i])  # the control: sums in the place of means
        assert relative_error(x_new[i], summed) > 1e-3
