"""Sets, and pairs of their members: the formulas, exact in every order, and the controls that are not."""

import numpy as np
import pytest
import torch

from gdl_utils.equivariance import equivariance_error, relative_error
from gdl_utils.intertwiners import equivariant_basis
from gdl_utils.layers import PairLinear, SetAttention, SetLinear


def rows(p):
    """Reorder a signal on nodes: what was at i is at p[i] afterwards."""
    return lambda x: x[..., p.argsort(), :]


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
    assert relative_error(layer(x), layer.out(torch.cat(heard, -1))) <= 1e-12
    uneven = [(2 * q[:, part] @ k[:, part].T).softmax(-1) @ v[:, part] for part in (slice(0, 2), slice(2, 4))]
    assert relative_error(layer(x), layer.out(torch.cat(uneven, -1))) > 1e-3  # the control: another scale


MASKED = [lambda: SetLinear(4, 6).double(), lambda: SetAttention(4, heads=2).double()]


@pytest.mark.parametrize("make", MASKED)
@pytest.mark.parametrize("garbage", [0.0, 1e30, float("nan"), float("inf")])
def test_a_padded_set_gives_what_the_shorter_one_does(make, garbage):
    layer, x = make(), torch.randn(3, 6, 4, dtype=torch.float64)
    mask = torch.tensor([[1, 1, 1, 1, 0, 0], [0, 1, 0, 1, 1, 1], [0, 0, 1, 0, 0, 0]], dtype=torch.bool)
    x[~mask] = garbage
    inputs = (x.requires_grad_(), *layer.parameters())
    y, short = layer(x, mask=mask), [layer(x[b, mask[b]]) for b in range(3)]
    assert relative_error(y[mask], torch.cat(short)) <= 1e-12 and y[~mask].eq(0).all()
    ours = torch.autograd.grad(y.square().sum(), inputs)
    theirs = torch.autograd.grad(torch.cat(short).square().sum(), inputs)
    assert max(relative_error(a, b) for a, b in zip(ours, theirs, strict=True)) <= 1e-12
    unmasked = layer(torch.where(mask[..., None], x, 0))
    assert relative_error(unmasked[mask], torch.cat(short)) > 1e-3  # the control: zeros in place of a mask
    assert relative_error(layer(x[0], mask=mask[0])[:4], short[0]) <= 1e-12  # without a batch
    deep = layer(x[None, None], mask=mask[None, None])
    assert relative_error(deep[0, 0], y) <= 1e-12


@pytest.mark.parametrize("make", MASKED)
def test_a_set_of_nobody_gives_zeros_and_finite_gradients(make):
    layer, x = make(), torch.full((2, 5, 4), float("nan"), dtype=torch.float64)
    y = layer(x, mask=torch.zeros(2, 5, dtype=torch.bool))
    y.sum().backward()
    assert y.eq(0).all() and all(p.grad.isfinite().all() for p in layer.parameters())


@pytest.mark.parametrize("make", MASKED)
def test_masked_sets_go_through_a_renumbering_compiled_and_in_half_precision(make):
    layer, x, p = make(), torch.randn(5, 7, 4, dtype=torch.float64), torch.randperm(7)
    mask = torch.arange(7) < torch.arange(2, 7)[:, None]
    f = lambda x, mask: layer(x, mask=mask)
    both = lambda inputs: (rows(p)(inputs[0]), inputs[1][:, p.argsort()])
    forget = lambda inputs: (rows(p)(inputs[0]), inputs[1])
    assert equivariance_error(f, (x, mask), both, rows(p)) <= 1e-12
    assert equivariance_error(f, (x, mask), forget, rows(p)) > 0.01
    torch._dynamo.reset()
    compiled = torch.compile(layer, backend="eager", fullgraph=True)
    assert relative_error(compiled(x, mask=mask), f(x, mask)) <= 1e-12
    exact = f(x, mask)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = layer.float()(x.float(), mask=mask)
    half = layer.bfloat16()(x.bfloat16(), mask=mask)
    for y in (cast, half):
        assert y.dtype == torch.bfloat16 and 1e-6 < relative_error(y.double(), exact) < 0.05


def test_the_mean_of_many_large_numbers_does_not_outgrow_half_precision():
    layer, x = SetLinear(1, 1).half(), torch.full((1000, 1), 100, dtype=torch.half)
    assert layer(x, mask=torch.ones(1000, dtype=torch.bool)).isfinite().all()
    assert not x.flatten().cumsum(0).isfinite().all()  # the control: their sum does


@pytest.mark.parametrize("make", [lambda: SetLinear(4, 6), lambda: SetAttention(4, heads=2)])
@pytest.mark.parametrize(
    ("error", "words", "mask"),
    [
        (TypeError, r"mask: got torch\.uint8; give a tensor of torch\.bool", torch.ones(2, 5).byte()),
        (TypeError, "mask: got ndarray", np.ones((2, 5), dtype=bool)),
        (ValueError, r"mask: got shape \(5,\); it must be \(2, 5\)", torch.ones(5) > 0),
        (ValueError, r"mask: got shape \(2, 5, 1\)", torch.ones(2, 5, 1) > 0),
    ],
)
def test_masks_that_do_not_fit_are_refused(make, error, words, mask):
    with pytest.raises(error, match=words):
        make()(torch.zeros(2, 5, 4), mask=mask)


def test_the_basis_is_that_of_the_solver_on_dense_matrices():
    layer, n = PairLinear(5, 1, 1), 5
    pairs = [np.kron(np.eye(n)[p], np.eye(n)[p]) for p in ([1, 0, 2, 3, 4], [4, 0, 1, 2, 3])]
    assert torch.equal(layer.basis, equivariant_basis(pairs, pairs))
    assert torch.equal(layer.bias_basis[..., None], equivariant_basis([np.eye(1)] * 2, pairs))
    turn = pairs[1:]  # the control: the turns alone have more
    assert len(equivariant_basis(turn, turn)) > 15


def test_a_layer_that_would_not_fit_is_refused_before_anything_is_allocated():
    words = r"n: got 72; the 15 maps would take 3,075 MiB; up to 512 MiB are made \(45 nodes\)"
    with pytest.raises(ValueError, match=words):
        PairLinear(72, 1, 1)
    with pytest.raises(ValueError, match="n: got 46"):
        PairLinear(np.int32(46), 1, 1)
    with pytest.raises(ValueError, match="n: got 1000000"):
        PairLinear(10**6, 1, 1)


def test_weights_are_made_where_and_as_they_are_asked_for():
    options = {"device": "meta", "dtype": torch.half}
    for layer in (SetLinear(2, 3, **options), SetAttention(2, **options), PairLinear(4, 1, 1, **options)):
        assert {(p.device.type, p.dtype) for p in layer.parameters()} == {("meta", torch.half)}


def test_the_solved_layer_on_matrices_has_fifteen_maps_and_respects_renumbering():
    layer = PairLinear(6, 2, 3).double()
    torch.nn.init.normal_(layer.bias)
    assert layer.weight.shape[-1] == 15 and layer.bias.shape[-1] == 2
    x, p = torch.randn(4, 2, 6, 6, dtype=torch.float64), torch.randperm(6)
    both = lambda x: x[..., p.argsort(), :][..., p.argsort()]
    one = lambda x: x[..., p.argsort(), :]
    assert equivariance_error(layer, x, both, both) <= 1e-12
    assert equivariance_error(layer, x, one, one) > 0.01


def test_inputs_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="n ≥ 1"):
        SetLinear(2, 2)(torch.zeros(0, 2))
    with pytest.raises(ValueError, match="n ≥ 1"):
        SetAttention(2)(torch.zeros(0, 2))
    with pytest.raises(ValueError, match=r"x: got shape \(5, 3\); \(…, n, 2\)"):
        SetAttention(2)(torch.zeros(5, 3))
    with pytest.raises(ValueError, match="heads"):
        SetAttention(6, heads=4)
    with pytest.raises(ValueError, match="at least 4"):
        PairLinear(3, 1, 1)
    with pytest.raises(ValueError, match="last axes"):
        PairLinear(4, 1, 1)(torch.zeros(1, 5, 5))
