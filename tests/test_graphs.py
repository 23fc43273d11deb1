"""Sets, graphs and point clouds: against literal sums, exact under every renumbering, and the controls that are not."""

import networkx as nx
import pytest
import torch

from gdl_utils.data import karate_club, look_alikes, tetracubes
from gdl_utils.equivariance import equivariance_error
from gdl_utils.layers import Adjacency, EGNNLayer, GraphConv, PairLinear, SetAttention, SetLinear


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


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
    torch.testing.assert_close(A.mean().dense(), torch.where(total > 0, dense / total, 0))
    dense = dense + torch.eye(9)
    scale = dense.sum(1).rsqrt()
    torch.testing.assert_close(A.normalised().dense(), scale[:, None] * dense * scale)


def test_what_odd_graphs_give_is_what_the_docstring_says():
    x = torch.randn(3, 2)
    none = Adjacency(torch.zeros(2, 0, dtype=torch.int64), 3)
    assert (none @ x).eq(0).all() and (none.mean() @ x).eq(0).all()
    torch.testing.assert_close(none.normalised() @ x, x)  # loops alone
    twice = Adjacency(torch.tensor([[0, 0], [1, 1]]), 3)
    torch.testing.assert_close((twice @ x)[1], 2 * x[0])
    torch.testing.assert_close((twice.mean() @ x)[1], x[0])
    loop = Adjacency(torch.tensor([[2], [2]]), 3)
    torch.testing.assert_close((loop @ x)[2], x[2])
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
        (ValueError, "one for each edge", ([[0], [1]], 3, torch.ones(2))),
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
    with pytest.raises(ValueError, match="n ≥ 1"):
        SetLinear(2, 2)(torch.zeros(0, 2))
    with pytest.raises(ValueError, match="n ≥ 1"):
        SetAttention(2)(torch.zeros(0, 2))
    with pytest.raises(ValueError, match="heads"):
        SetAttention(6, heads=4)
    with pytest.raises(ValueError, match="at least 4"):
        PairLinear(3, 1, 1)
    with pytest.raises(ValueError, match="last axes"):
        PairLinear(4, 1, 1)(torch.zeros(1, 5, 5))
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


def test_sets_go_through_a_renumbering():
    x, p = torch.randn(5, 7, 4, dtype=torch.float64), torch.randperm(7)
    for layer in (SetLinear(4, 6), SetAttention(4, heads=2)):
        assert equivariance_error(layer.double(), x, rows(p), rows(p)) <= 1e-12
    ordered = lambda x: x.cumsum(-2)
    assert equivariance_error(ordered, x, rows(p), rows(p)) > 0.01


def test_attention_is_the_formula():
    layer, x = SetAttention(4, heads=2).double(), torch.randn(5, 4, dtype=torch.float64)
    q, k, v = layer.queries_keys_values(x).split(4, -1)
    heard = []
    for part in (slice(0, 2), slice(2, 4)):
        scores = q[:, part] @ k[:, part].T / 2**0.5
        heard.append(scores.softmax(-1) @ v[:, part])
    torch.testing.assert_close(layer(x), layer.out(torch.cat(heard, -1)))


def test_the_solved_layer_on_matrices_has_fifteen_maps_and_respects_renumbering():
    layer = PairLinear(6, 2, 3).double()
    torch.nn.init.normal_(layer.bias)
    assert layer.weight.shape[-1] == 15 and layer.bias.shape[-1] == 2
    x, p = torch.randn(4, 2, 6, 6, dtype=torch.float64), torch.randperm(6)
    both = lambda x: x[..., p.argsort(), :][..., p.argsort()]
    one = lambda x: x[..., p.argsort(), :]
    assert equivariance_error(layer, x, both, both) <= 1e-12
    assert equivariance_error(layer, x, one, one) > 0.01


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
        torch.testing.assert_close(x_new[i], moved)
        torch.testing.assert_close(h_new[i], h[i] + layer.update(told))


def test_the_club_is_the_one_of_the_paper():
    edge_index, labels = karate_club()
    assert edge_index.shape == (2, 156) and labels[0] == 0 and labels[33] == 1
    dense = Adjacency(edge_index, 34).dense()
    assert torch.equal(dense, dense.T) and dense.trace() == 0 and dense.max() == 1
    assert dense.sum(1)[[0, 33]].tolist() == [16, 17]


@pytest.mark.parametrize("name", look_alikes())
def test_look_alikes_differ_and_colour_refinement_does_not_see_it(name):
    a, b, n = look_alikes()[name]
    graphs = []
    for edges in (a, b):
        graph = nx.Graph(edges.T.tolist())
        nx.set_node_attributes(graph, "same", "colour")
        assert len(graph) == n
        graphs.append(graph)
    assert not nx.is_isomorphic(*graphs)
    refined = lambda graph: nx.weisfeiler_lehman_graph_hash(graph, node_attr="colour", iterations=n)
    assert refined(graphs[0]) == refined(graphs[1])
    path = nx.path_graph(n)
    nx.set_node_attributes(path, "same", "colour")
    assert refined(path) != refined(graphs[0])  # it does see other differences


def test_tetracubes_are_eight_and_only_the_screws_are_mirror_images():
    points, names = tetracubes()
    assert points.shape == (8, 4, 3) and len(names) == 8
    distances = torch.cdist(points, points).flatten(1).sort(1).values
    same = [(i, j) for i in range(8) for j in range(i) if torch.allclose(distances[i], distances[j])]
    assert same == [(7, 6)]
    volume = lambda p: torch.linalg.det(p[1:] - p[:-1])  # of the three steps along the screw
    assert volume(points[6]) == -volume(points[7]) != 0
