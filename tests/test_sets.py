"""Sets, and pairs of their members: the formulas, exact in every order, and the controls that are not."""

import pytest
import torch

from gdl_utils.equivariance import equivariance_error, relative_error
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
    with pytest.raises(ValueError, match="heads"):
        SetAttention(6, heads=4)
    with pytest.raises(ValueError, match="at least 4"):
        PairLinear(3, 1, 1)
    with pytest.raises(ValueError, match="last axes"):
        PairLinear(4, 1, 1)(torch.zeros(1, 5, 5))
