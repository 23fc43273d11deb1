"""What gates know about time, for torch's own recurrent networks: weights for another speed, and for a length of memory."""

import copy

import torch
from torch import nn


def time_warped(net: nn.Module, alpha: float) -> nn.Module:
    """Return a copy of a gated network that does at α times the speed what the network does at its own.

    The gates take in and forget α times as much in a step: an LSTM's input biases grow by log α and its forget biases fall by as
    much; of a GRU, whose gate z keeps, b_z falls by log α. All other weights stay.

    Parameters
    ----------
    net : nn.LSTM, nn.GRU, nn.LSTMCell or nn.GRUCell
        With biases; all layers and both directions are changed.
    alpha : float
        Above 1 for a sequence that runs faster: it has fewer steps, and more must happen in each.

    Returns
    -------
    nn.Module
        Of the same kind.

    Raises
    ------
    TypeError
        If the network is none of these: one without gates has no such weights.
    ValueError
        If it has no biases, or alpha is not positive and finite.

    Notes
    -----
    Exact only in the limit of small gates: states at corresponding times differ to first order in the size of a step. It is
    a statement about the class of networks, which has such a member for each α; the network itself does not change its speed.
    Tallec and Ollivier (2018), section 2.

    Examples
    --------
    >>> slow = time_warped(nn.LSTM(2, 8), 0.5)
    """
    if not 0 < alpha < float("inf"):
        raise ValueError(f"alpha: got {alpha}; a speed is positive and finite")
    net = copy.deepcopy(net)
    add = torch.log(torch.tensor(alpha, dtype=torch.float64))
    with torch.no_grad():
        for taking, keeping in _gates(net):
            if taking is not None:
                taking += add
            keeping -= add
    return net


def chrono_(net: nn.Module, longest: int) -> nn.Module:
    """Set the biases of a gated network, in place, for memories that last up to a number of steps.

    Each unit's forget bias becomes log u with a random u between 1 and ``longest`` - 1, so that it keeps a memory for about u steps,
    and its input bias the negative of it. (Of a GRU, b_z becomes log u.) Random numbers are torch's global ones.

    Parameters
    ----------
    net : nn.LSTM, nn.GRU, nn.LSTMCell or nn.GRUCell
        With biases.
    longest : int
        Steps over which the task asks to remember, more than 2.

    Returns
    -------
    nn.Module
        The same network.

    Raises
    ------
    TypeError
        If the network is none of these.
    ValueError
        If it has no biases, or longest is not above 2.

    Notes
    -----
    Tallec and Ollivier (2018), section 3, "chrono initialization".

    Examples
    --------
    >>> net = chrono_(nn.LSTM(2, 8), longest=60)
    >>> bool((net.bias_ih_l0[8:16] >= 0).all())
    True
    """
    if not longest > 2:
        raise ValueError(f"longest: got {longest}; memories of up to more than 2 steps are needed")
    with torch.no_grad():
        for taking, keeping in _gates(net, also_zero=True):
            keeping.copy_(torch.log(1 + (longest - 2) * torch.rand_like(keeping)))
            if taking is not None:
                taking.copy_(-keeping)
    return net


def _gates(net: nn.Module, also_zero: bool = False):
    """Yield views of the biases by which each layer takes in (None in a GRU) and keeps; torch adds two of each.

    torch's orders are i, f, g, o (the gates for input and forgetting, the new content, the output) and r, z, n.
    """
    if not isinstance(net, nn.LSTM | nn.GRU | nn.LSTMCell | nn.GRUCell):
        raise TypeError(f"net: got {type(net).__name__}; give an LSTM or a GRU of torch, or a cell of these")
    if not net.bias:
        raise ValueError("net: has no biases; make it with bias=True")
    n, lstm = net.hidden_size, isinstance(net, nn.LSTM | nn.LSTMCell)
    for name, bias in net.named_parameters():
        taking, keeping = (bias[:n], bias[n : 2 * n]) if lstm else (None, bias[n : 2 * n])
        if name.startswith("bias_ih"):
            yield taking, keeping
        elif name.startswith("bias_hh") and also_zero:
            keeping.zero_()
            if lstm:
                taking.zero_()
