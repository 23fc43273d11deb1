"""Graphs and point clouds: against literal sums, exact under every renumbering, and the controls that are not."""

import copy
import io
import multiprocessing
import operator
import pickle

import numpy as np
import pytest
import torch

from gdl_utils.equivariance import equivariance_error, relative_error
from gdl_utils.layers import Adjacency, EGNNLayer, GraphConv, adjacency


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
    assert torch.autograd.gradcheck(lambda x: A @ x, x) and torch.autograd.gradgradcheck(lambda x: A @ x, x)


def test_a_batch_of_signals_is_one_signal_after_another():
    A, x = random_graph(), torch.randn(5, 2, 9, 4, dtype=torch.float64)
    one_by_one = torch.stack([torch.stack([literal(A, signal) for signal in row]) for row in x])
    assert relative_error(A @ x, one_by_one) <= 1e-12
    assert relative_error(A @ x.flip(0), one_by_one) > 0.1  # the control
    assert relative_error(torch.func.vmap(lambda x: A @ x)(x), one_by_one) <= 1e-12
    last = torch.func.vmap(torch.func.vmap(lambda x: A @ x, in_dims=2, out_dims=2))
    assert relative_error(last(x.movedim(1, 3)), one_by_one.movedim(1, 3)) <= 1e-12
    gradient = torch.func.vmap(torch.func.grad(lambda x: (A @ x).sin().sum()))(x[0])
    assert relative_error(gradient, A.dense().T @ one_by_one[0].cos()) <= 1e-12
    assert (A @ x[:0]).shape == x[:0].shape and (A @ x[..., :0]).shape == x[..., :0].shape
    layer = GraphConv(4, 3).double()
    assert relative_error(layer(x, A)[1, 1], layer(x[1, 1], A)) <= 1e-12


@pytest.mark.parametrize("weighted", [True, False])
def test_weights_are_the_formulas_in_double_whatever_the_default_is(weighted):
    assert torch.get_default_dtype() == torch.float32
    A, x = random_graph(weighted=weighted), torch.randn(9, 4, dtype=torch.float64)
    dense = A.dense().double()
    total, looped = dense.sum(1, keepdim=True), dense + torch.eye(9)
    scale = looped.sum(1).rsqrt()
    exact = scale[:, None] * looped * scale
    assert relative_error(A.normalised() @ x, exact @ x) <= 1e-12
    assert relative_error(A.mean() @ x, torch.where(total > 0, dense / total, 0) @ x) <= 1e-12
    rounded = Adjacency(A.normalised().edge_index, 9, A.normalised().weight.float())  # the control
    assert relative_error(rounded @ x, exact @ x) > 1e-9
    assert (A.normalised() @ x.float()).dtype == torch.float32
    assert A.dense().dtype == A.mean().weight.dtype == (torch.float64 if weighted else torch.float32)
    assert relative_error(A.normalised().to(torch.float64).dense(), exact) <= 1e-12
    assert (
        relative_error(
            A.normalised().permuted(range(9)).mean().to(torch.half) @ x, exact / exact.sum(1, True) @ x
        )
        <= 1e-12
    )


def test_nothing_that_is_done_to_tensors_afterwards_changes_the_matrix():
    edges, weight, x = torch.tensor([[0, 1], [1, 0]]), torch.ones(2), torch.randn(2, 3)
    A = Adjacency(edges, 2, weight)
    for _ in range(2):  # before the first product, and after it
        weight *= 10
        edges[:] = 0
        A.weight.mul_(10), A.edge_index.zero_()
        assert torch.equal(A @ x, x.flip(0)) and torch.equal(A.dense(), torch.eye(2).flip(0))
    with pytest.raises(AttributeError):
        A.weight = weight
    assert not torch.equal(Adjacency(edges, 2, weight) @ x, x.flip(0))  # the control


def test_no_double_precision_goes_to_a_device_without_it(monkeypatch):
    A, x = random_graph(), torch.zeros(9, 2, device="meta")
    types = lambda A: {t.dtype for pair in A._rows.values() for rows in pair for t in rows}
    monkeypatch.setattr(adjacency, "WITHOUT_DOUBLE", {"meta"})
    there = A.to("meta").mean()
    assert there.device == there.edge_index.device == x.device and (there @ x).shape == (9, 2)
    assert types(there) == {torch.int64, torch.float32}
    assert types(A) == {torch.int64, torch.float32, torch.float64}  # the control
    assert torch.equal(there._weight, A.mean()._weight)  # nothing was rounded on the way
    assert A.to(x).device == x.device and A.to(x).dtype == torch.float32
    with pytest.raises(ValueError, match=r"x: is on meta, the graph on cpu; give A.to\(x.device\)"):
        A @ x
    with pytest.raises(TypeError, match="dtype: got torch"):
        A.to(torch.int64)


def test_a_graph_is_copied_saved_and_sent_to_a_worker():
    A, x = random_graph(), torch.randn(9, 4)
    A @ x
    torch.save(A, file := io.BytesIO())
    file.seek(0)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert torch.equal(pool.apply(operator.matmul, (A, x)), A @ x)
    for same in (copy.deepcopy(A), pickle.loads(pickle.dumps(A)), torch.load(file, weights_only=False)):
        assert torch.equal(same @ x, A @ x)
    assert not torch.equal(A.mean() @ x, A @ x)  # the control


def test_what_was_made_in_inference_mode_can_be_trained_with():
    with torch.inference_mode():
        A = random_graph().mean()
        A @ torch.randn(9, 4)
    x = torch.randn(9, 4, dtype=torch.float64, requires_grad=True)
    rows = A._rows[torch.float64][0]
    for y in (A @ x, adjacency._one_by_one(rows, x)):  # as it is, and as it is compiled
        (gradient,) = torch.autograd.grad(y.sum(), x)
        assert relative_error(gradient, A.dense().sum(0)[:, None].expand(9, 4)) <= 1e-12


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_in_half_precision_the_product_is_rounded_once(dtype):
    A, x = random_graph().mean(), torch.randn(9, 4).to(dtype).requires_grad_()
    y = A @ x
    assert y.dtype == dtype and torch.equal(y, (A @ x.float()).to(dtype))
    assert not torch.equal(y, (A.dense().to(dtype) @ x))  # the control: weights that are rounded too
    assert torch.autograd.grad(y.sum(), x)[0].dtype == dtype


def test_under_autocast_a_network_runs_and_learns():
    A, x = random_graph(weighted=False).mean(), torch.randn(9, 4)
    first, second = GraphConv(4, 16), GraphConv(16, 3)
    weights = [*first.parameters(), *second.parameters()]
    f = lambda: second(first(x, A).relu(), A)
    exact = torch.autograd.grad(f().square().sum(), weights)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = f()
    assert y.dtype == torch.bfloat16
    for ours, theirs in zip(torch.autograd.grad(y.float().square().sum(), weights), exact, strict=True):
        assert 1e-6 < relative_error(ours, theirs) < 0.1


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_a_layer_is_compiled_in_one_piece(backend):
    A, x = random_graph(), torch.randn(9, 4, dtype=torch.float64, requires_grad=True)
    layer = GraphConv(4, 3).double()
    torch._dynamo.reset()
    compiled = torch.compile(layer, backend=backend, fullgraph=True)
    assert relative_error(compiled(x, A), layer(x, A)) <= 1e-12
    ours, theirs = (torch.autograd.grad(f(x, A).sin().sum(), x)[0] for f in (compiled, layer))
    assert relative_error(ours, theirs) <= 1e-12
    assert relative_error(compiled(x, A.mean()), layer(x, A)) > 1e-3  # the control


def test_graphs_in_a_batch_do_not_hear_each_other():
    graphs = [random_graph(), Adjacency([[], []], 1), random_graph(4, 7).normalised()]
    signals = [torch.randn(A.n, 2, dtype=torch.float64) for A in graphs]
    A, graph = Adjacency.batch(iter(graphs))
    assert A.n == 14 and graph.tolist() == [0] * 9 + [1] + [2] * 4 and A.dtype == torch.float64
    apart = torch.cat([A @ x for A, x in zip(graphs, signals, strict=True)])
    assert relative_error(A @ torch.cat(signals), apart) <= 1e-12
    assert torch.equal(A.dense(), torch.block_diag(*[A.dense() for A in graphs]))
    means = torch.cat([A.mean() @ x for A, x in zip(graphs, signals, strict=True)])
    assert relative_error(A.mean() @ torch.cat(signals), means) <= 1e-12
    sums = torch.zeros(3, 2, dtype=torch.float64).index_add(0, graph, torch.cat(signals))
    assert relative_error(sums, torch.stack([x.sum(0) for x in signals])) <= 1e-12
    assert relative_error(A @ torch.cat(signals[::-1]), apart) > 0.1  # the control
    with pytest.raises(ValueError, match="graphs: 0 on 0 devices"):
        Adjacency.batch([])
    with pytest.raises(ValueError, match="graphs: 2 on 2 devices"):
        Adjacency.batch([graphs[0], graphs[0].to("meta")])
    with pytest.raises(TypeError, match="graphs: got Tensor; give an Adjacency"):
        Adjacency.batch([graphs[0].edge_index])


@pytest.mark.parametrize("kind", ["int8", "int16", "int32", "uint16", "uint32", "uint64"])
def test_edges_of_whole_numbers_of_every_kind(kind):
    edges = np.array([[0, 1, 1], [1, 0, 2]], dtype=kind)
    x = torch.randn(3, 2)
    backwards, not_writable = edges[:, ::-1], np.broadcast_to(edges, edges.shape)
    for given in (backwards, not_writable):
        A = Adjacency(given, 3).permuted(np.array([1, 0, 2], dtype=kind))
        assert torch.equal(A @ x, Adjacency([[1, 0, 0], [0, 1, 2]], 3) @ x)
    with pytest.raises(IndexError, match=r"edge 2 is \(1, 2\)"):
        Adjacency(edges, 2)


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
    assert torch.equal(Adjacency([[], []], 3) @ x, none @ x)  # an empty list has no type
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
        (TypeError, "uint8", (torch.ones(2, 1, dtype=torch.uint8), 3)),
        (IndexError, "18446744073709551615", (np.array([[2**64 - 1], [0]], dtype="uint64"), 3)),
        (TypeError, "weight: got torch.complex64; give real", ([[0], [1]], 3, torch.ones(1) * 1j)),
        (TypeError, "weight: got torch.bool", ([[0], [1]], 3, [True])),
        (ValueError, "gradient", ([[0], [1]], 3, torch.ones(1, requires_grad=True))),
    ],
)
def test_a_graph_that_is_none_is_refused(error, words, arguments):
    with pytest.raises(error, match=words):
        Adjacency(*arguments)


def test_inputs_that_do_not_fit_are_refused():
    A = random_graph()
    whole, unreal = (torch.zeros(9, 2, dtype=dtype) for dtype in (torch.int64, torch.complex64))
    for x in (torch.zeros(8, 2), torch.zeros(9), torch.zeros(9, 8, 2), whole, unreal):
        with pytest.raises(ValueError, match="x: got"):
            A @ x
    with pytest.raises(TypeError, match="x: got ndarray; give"):
        A @ np.zeros((9, 2))
    with pytest.raises(TypeError, match="p: got torch"):
        A.permuted(np.arange(9.0))
    with pytest.raises(ValueError, match="each once"):
        A.permuted([0] * 9)
    with pytest.raises(ValueError, match="negative"):
        Adjacency([[0], [1]], 2, -torch.ones(1)).normalised()
    for other in (A.edge_index, A.dense(), A.edge_index.numpy(), [[0], [1]], None):
        with pytest.raises(TypeError, match=r"A: got \w+; give an Adjacency, as Adjacency\(edge_index, n\)"):
            GraphConv(2, 2)(torch.zeros(9, 2), other)
    with pytest.raises(ValueError, match=r"x: got .* last axis must be 2"):
        GraphConv(2, 2)(torch.zeros(9, 3), A)


@pytest.mark.parametrize(
    ("error", "words", "shapes", "options"),
    [
        (ValueError, "n ≥ 1", ((0, 2), (0, 3)), {}),
        (ValueError, "h, x: got shapes", ((5, 2), (6, 3)), {}),
        (ValueError, "h: got shape .* must be 2", ((5, 4), (5, 3)), {}),
        (TypeError, "mask: got torch.int64; .* torch.bool", ((5, 2), (5, 3)), {"mask": torch.ones(5).long()}),
        (TypeError, "mask: got list", ((5, 2), (5, 3)), {"mask": [True] * 5}),
        (
            ValueError,
            r"mask: got shape \(4,\); it must be \(5,\)",
            ((5, 2), (5, 3)),
            {"mask": torch.ones(4) > 0},
        ),
        (ValueError, r"must be \(2, 5, 5\)", ((2, 5, 2), (2, 5, 3)), {"neighbours": torch.ones(5, 5) > 0}),
    ],
)
def test_clouds_that_do_not_fit_are_refused(error, words, shapes, options):
    with pytest.raises(error, match=words):
        EGNNLayer(2)(*map(torch.zeros, shapes), **options)


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


def cloud(*shape, dtype=torch.float64):
    return torch.randn(*shape, 4, dtype=dtype), torch.randn(*shape, 3, dtype=dtype)


def literal_egnn(layer, h, x, hears=lambda i, j: i != j, bound=torch.tanh):
    """Point by point, as the docstring has it."""
    new_h, new_x = [], []
    for i in range(len(h)):
        heard, steps = [torch.zeros(layer.update[0].in_features - h.shape[1])], [torch.zeros(x.shape[1])]
        others = [j for j in range(len(h)) if j != i and hears(i, j)]
        for j in others:
            heard.append(layer.message(torch.cat([h[i], h[j], ((x[i] - x[j]) ** 2).sum()[None]])))
            steps.append((x[i] - x[j]) * bound(layer.step[:3](heard[-1])))
        many = max(len(others), 1)
        new_x.append(x[i] + sum(steps) / many)
        new_h.append(h[i] + layer.update(torch.cat([h[i], sum(heard) / many])))
    return torch.stack(new_h), torch.stack(new_x)


def furthest(ours, theirs):
    return max(relative_error(a, b) for a, b in zip(ours, theirs, strict=True))


def test_egnn_is_the_formula():
    layer, (h, x) = EGNNLayer(4, hidden=5).double(), cloud(5)
    assert furthest(layer(h, x), literal_egnn(layer, h, x)) <= 1e-12
    free = literal_egnn(layer, h, x, bound=lambda s: s)
    assert furthest(layer(h, x), free) > 1e-5  # the controls: no bound; only some are heard
    assert furthest(layer(h, x), literal_egnn(layer, h, x, hears=lambda i, j: i < j)) > 1e-2


@pytest.mark.parametrize("scale", [10, 1e4])
def test_many_layers_keep_a_cloud_finite_and_without_the_bound_do_not(scale):
    width = lambda x: torch.cdist(x, x).max()
    for seed in range(10):
        torch.manual_seed(seed)
        layers = [EGNNLayer(4) for _ in range(6)]
        h, x = cloud(20, dtype=torch.float32)
        h, x = g, y = h, scale * x
        for layer in layers:
            before = width(x)
            h, x = layer(h, x)
            g, y = literal_egnn(layer, g, y, bound=lambda s: s) if seed == 0 else (g, y)
            assert h.isfinite().all() and width(x) <= 3.001 * before
        assert seed > 0 or not y.isfinite().all()


def test_points_that_coincide_have_gradients():
    layer, (h, x) = EGNNLayer(4, hidden=5).double(), cloud(3)
    x[1] = x[0]
    inputs = h.requires_grad_(), x.requires_grad_()
    assert torch.autograd.gradcheck(layer, inputs) and torch.autograd.gradgradcheck(layer, inputs)
    roots = lambda x: (x[:, None] - x).square().sum(-1).sqrt().sum()
    assert torch.autograd.grad(roots(x), x)[0].isnan().any()  # the control: distances that are no squares


@pytest.mark.parametrize("garbage", [0.0, 1e30, float("nan"), float("inf")])
def test_a_padded_cloud_gives_what_the_shorter_one_does(garbage):
    layer, (h, x) = EGNNLayer(4).double(), cloud(3, 6)
    mask = torch.tensor([[1, 1, 1, 1, 0, 0], [0, 1, 0, 1, 1, 1], [0, 0, 1, 0, 0, 0]], dtype=torch.bool)
    h[~mask], x[~mask] = garbage, garbage
    h.requires_grad_(), x.requires_grad_()
    ours = layer(h, x, mask=mask)
    weights = tuple(layer.parameters())
    total = sum(t[mask].square().sum() for t in ours)
    padded = torch.autograd.grad(total, (h, x, *weights))
    short = [layer(h[b, mask[b]], x[b, mask[b]]) for b in range(3)]
    shorter = torch.autograd.grad(sum(t.square().sum() for pair in short for t in pair), (h, x, *weights))
    for b in range(3):
        assert furthest([t[b, mask[b]] for t in ours], short[b]) <= 1e-12
    for t, before in zip(ours, (h, x), strict=True):
        torch.testing.assert_close(t[~mask], before[~mask], rtol=0, atol=0, equal_nan=True)
    assert furthest(padded, shorter) <= 1e-12 and torch.equal(ours[1][2, 2], x[2, 2])  # one point alone stays
    plain = layer(torch.where(mask[..., None], h, 0), torch.where(mask[..., None], x, 0))
    assert relative_error(plain[1][0, :4], short[0][1]) > 1e-3  # the control: zeros in place of a mask
    nobody = layer(h, x, mask=torch.zeros_like(mask))
    torch.testing.assert_close(nobody, (h, x), rtol=0, atol=0, equal_nan=True)


def test_only_neighbours_are_heard():
    layer, (h, x) = EGNNLayer(4, hidden=5).double(), cloud(6)
    A = Adjacency(torch.randint(5, (2, 9)), 6)  # node 5 hears nobody
    hears = A.dense() != 0
    ours = layer(h, x, neighbours=hears)
    assert furthest(ours, literal_egnn(layer, h, x, lambda i, j: hears[i, j])) <= 1e-12
    assert torch.equal(ours[1][5], x[5])
    for wrong in (layer(h, x), layer(h, x, neighbours=hears.T)):
        assert furthest(wrong, ours) > 1e-3  # the controls: all, and the edges turned round
    everybody = layer(h, x, neighbours=torch.ones(6, 6, dtype=torch.bool))
    assert furthest(everybody, layer(h, x)) <= 1e-12
    spoilt = h.clone()
    spoilt[5] = float("nan")  # whom nobody hears
    assert furthest([t[:5] for t in layer(spoilt, x, neighbours=hears)], [t[:5] for t in ours]) <= 1e-12
    mask = torch.arange(6) < 4
    both = layer(h, x, mask=mask, neighbours=hears)
    assert furthest([t[:4] for t in both], layer(h[:4], x[:4], neighbours=hears[:4, :4])) <= 1e-12


def test_a_cloud_with_a_mask_and_neighbours_is_equivariant_with_them_and_not_without():
    layer, (h, x), (Q, t) = EGNNLayer(4).double(), cloud(7), motion(3, mirror=True)
    mask, hears, p = torch.arange(7) > 1, torch.rand(7, 7) > 0.5, torch.randperm(7)
    f = lambda h, x, mask, hears: layer(h, x, mask=mask, neighbours=hears)
    q = p.argsort()
    move = lambda hx: (hx[0][q], hx[1][q] @ Q.T + t)
    both = lambda inputs: (*move(inputs[:2]), inputs[2][q], inputs[3][q][:, q])
    forget = lambda inputs: (*move(inputs[:2]), *inputs[2:])
    assert equivariance_error(f, (h, x, mask, hears), both, move) <= 1e-12
    assert equivariance_error(f, (h, x, mask, hears), forget, move) > 1e-3


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_egnn_in_half_precision_and_under_autocast(dtype):
    layer, (h, x) = EGNNLayer(4), cloud(7, dtype=torch.float32)
    exact = layer(h, x)
    half = copy.deepcopy(layer).to(dtype)(h.to(dtype), x.to(dtype))
    with torch.autocast("cpu", dtype=dtype):
        cast = layer(h, x)
    assert [t.dtype for t in (*half, *cast)] == [dtype] * 2 + [torch.float32] * 2
    for ours in (half, cast):
        assert 1e-6 < furthest([t.float() for t in ours], exact) < 0.05
    cast[1].square().mean().backward()
    assert all(p.grad.isfinite().all() for p in layer.step.parameters())


def test_egnn_is_compiled_in_one_piece():
    layer, (h, x) = EGNNLayer(4).double(), cloud(3, 5)
    mask, hears = torch.rand(3, 5) > 0.3, torch.rand(3, 5, 5) > 0.3
    torch._dynamo.reset()
    compiled = torch.compile(layer, backend="eager", fullgraph=True)
    options = {"mask": mask, "neighbours": hears}
    assert furthest(compiled(h, x, **options), layer(h, x, **options)) <= 1e-12
    assert furthest(compiled(h, x), layer(h, x, **options)) > 1e-3  # the control


def test_weights_are_made_where_and_as_they_are_asked_for():
    for layer in (
        GraphConv(2, 3, device="meta", dtype=torch.half),
        EGNNLayer(2, device="meta", dtype=torch.half),
    ):
        assert {(p.device.type, p.dtype) for p in layer.parameters()} == {("meta", torch.half)}


def test_second_derivatives_forwards_and_guards_of_size():
    A = Adjacency([[0, 1, 1], [1, 0, 1]], 2)
    H = torch.func.hessian(lambda x: (A @ x).square().sum())(torch.ones(2, 1, dtype=torch.float64))
    dense = A.to(torch.float64).dense()
    assert torch.allclose(H.reshape(2, 2), 2 * dense.T @ dense)
    with pytest.raises(ValueError, match="n: the rows of the matrix would hold"):
        Adjacency([[0], [1]], 10**10)


def test_who_is_not_heard_may_be_infinitely_far():
    layer, h = EGNNLayer(2).double(), torch.randn(3, 2, dtype=torch.float64)
    x = torch.randn(3, 3, dtype=torch.float64)
    x[2] = 1e200
    x.requires_grad_()
    heard = torch.tensor([[0, 1, 0], [1, 0, 0], [0, 0, 0]]).bool()
    moved = layer(h, x, neighbours=heard)[1]
    moved[:2].sum().backward()
    assert x.grad[:2].isfinite().all()
