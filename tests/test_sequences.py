"""Time-warped weights and chrono initialisation, on every network of torch that has gates."""

import numpy as np
import pytest
import torch
from torch import nn

from gdl_utils.equivariance import relative_error
from gdl_utils.layers import chrono_, time_warped


def melody(t):
    return torch.stack([torch.sin(5 * t), torch.cos(3 * t)], -1)


def slow_net(kind, dt, layers=1):
    """Gates in proportion to dt, which is a warp of ordinary ones."""
    torch.manual_seed(0)
    return time_warped(kind(2, 8, num_layers=layers).double().requires_grad_(False), dt)


def gap(kind, N, alpha, layers=1, warp=True):
    """States at corresponding times: relative difference."""
    dt, t = 3 / N, torch.arange(N, dtype=torch.float64) * 3 / N
    net = slow_net(kind, dt, layers)
    here = net(melody(t))[0]
    there = (time_warped(net, alpha) if warp else net)(melody(t[:: round(alpha)]))[0]
    return float((there - here[round(alpha) - 1 :: round(alpha)]).norm() / here.norm())


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
@pytest.mark.parametrize("layers", [1, 2])
def test_the_warped_network_follows_to_first_order_and_the_unwarped_does_not(kind, layers):
    first, second = (gap(kind, N, 2, layers) for N in (240, 960))
    assert np.log(first / second) / np.log(4) > 0.9
    first, second = (gap(kind, N, 2, layers, warp=False) for N in (240, 960))
    assert first / second < 1.2


@pytest.mark.parametrize("kind", [nn.LSTMCell, nn.GRUCell])
def test_a_cell_is_changed_as_its_network_is(kind):
    cell, net = kind(2, 3).double(), {nn.LSTMCell: nn.LSTM, nn.GRUCell: nn.GRU}[kind](2, 3).double()
    net.load_state_dict({f"{name}_l0": value for name, value in cell.state_dict().items()})
    a, b = time_warped(cell, 0.3), time_warped(net, 0.3)
    for name, value in a.state_dict().items():
        assert relative_error(value, b.state_dict()[f"{name}_l0"]) <= 1e-12
    assert not torch.equal(a.bias_ih, cell.bias_ih)  # and the old one is as it was


def test_warping_back_is_no_change():
    net = nn.LSTM(2, 3).double()
    there = time_warped(net, 4.0)
    for before, after in zip(net.parameters(), time_warped(there, 0.25).parameters(), strict=True):
        assert relative_error(after, before) <= 1e-12
    assert relative_error(there.bias_ih_l0, net.bias_ih_l0) > 0.1  # the control: there alone


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.LSTMCell, nn.GRUCell])
def test_chrono_sets_memories_between_one_step_and_the_longest(kind):
    net = kind(2, 500).double()
    before = {name: value.clone() for name, value in net.state_dict().items() if "weight" in name}
    assert chrono_(net, longest=60) is net
    bias = sum(value for name, value in net.named_parameters() if "bias" in name).detach()
    kept = bias[500:1000].exp()  # u, between 1 and 59
    assert kept.min() >= 0.999 and kept.max() <= 59.01
    assert abs(float(kept.mean()) - 30) < 3  # uniform
    if "LSTM" in kind.__name__:
        assert relative_error(bias[:500], -bias[500:1000]) <= 1e-12
    for name, value in before.items():
        assert torch.equal(net.state_dict()[name], value)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_both_directions_are_warped(kind):
    net = kind(2, 3, bidirectional=True).double()
    warped = dict(time_warped(net, 2.0).named_parameters())
    for name in ("bias_ih_l0", "bias_ih_l0_reverse"):
        slower = warped[name] - getattr(net, name)
        assert torch.allclose(slower[3:6], -torch.tensor(2.0).double().log().expand(3))


def test_what_has_no_gates_or_no_biases_is_refused():
    for change in (lambda net: time_warped(net, 2), lambda net: chrono_(net, 10)):
        with pytest.raises(TypeError, match="RNN"):
            change(nn.RNN(2, 3))
        with pytest.raises(ValueError, match="no biases"):
            change(nn.LSTM(2, 3, bias=False))
    for alpha in (0, -1, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="alpha"):
            time_warped(nn.LSTM(2, 3), alpha)
    with pytest.raises(ValueError, match="longest"):
        chrono_(nn.LSTM(2, 3), 2)
