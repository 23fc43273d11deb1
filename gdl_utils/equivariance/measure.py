"""Measure equivariance: does it matter whether the group acts before a function or after it?

A function f is equivariant when f(g·x) = g·f(x) for every element g: two ways round a square that end at the same place.
It is invariant when the group does nothing to its output, f(g·x) = f(x). Both are measured here, never assumed.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch

from gdl_utils.domains import Domain
from gdl_utils.signals import SignalSpace, as_space

# What rounding may do to a few layers in sequence; a broken symmetry errs a million times more.
BOUND = {torch.float64: 1e-12, torch.float32: 1e-5}


def equivariance_error(function: Callable, x: Any, act_in: Callable, act_out: Callable) -> float:
    """Return ``|f(g·x) - g·f(x)| / |f(x)|``, the relative equivariance error for one element g, in the Euclidean norm.

    Parameters
    ----------
    function : callable
        The function f. A tuple is passed as its arguments, a dict as its keyword arguments.
    x : tensor, tuple or dict
        The input. Random numbers are a good one: an input with a symmetry of its own hides faults.
    act_in, act_out : callable
        x ↦ g·x and y ↦ g·y for the same g, on the whole of ``x`` and the whole output. ``lambda y: y`` as ``act_out`` measures
        invariance.

    Returns
    -------
    float
        0 up to rounding if f is equivariant for this g; near 1 or above if it is nothing of the kind.

    Raises
    ------
    ValueError
        If the two ways round give different shapes, the output is zero (anything is equivariant then) or not finite.
    TypeError
        If an output is no tensor, or tuple or dict of tensors.

    Examples
    --------
    Squaring every pixel does not mind a turn; a ramp that darkens one side does.

    >>> x = torch.rand(5, 5, dtype=torch.float64)
    >>> turn = lambda x: torch.rot90(x)
    >>> equivariance_error(torch.square, x, turn, turn)
    0.0
    >>> ramp = torch.linspace(0, 1, 5, dtype=torch.float64)
    >>> equivariance_error(lambda x: ramp * x, x, turn, turn) > 0.1
    True
    """
    y = _call(function, x)
    return _error(_call(function, act_in(x)), act_out(y), y)


def equivariance_errors(
    function: Callable,
    x: torch.Tensor,
    space_in: SignalSpace | Domain,
    space_out: SignalSpace | Domain | None = None,
    elements: Iterable[int] | None = None,
) -> dict[int, float]:
    """Return the relative error ``|f(g·x) - g·f(x)| / |f(x)|`` for elements g of a group; f(x) is computed once.

    Parameters
    ----------
    function : callable
        From signals of ``space_in`` to signals of ``space_out``.
    x : tensor
        A signal of ``space_in``, or a stack of them.
    space_in : SignalSpace or Domain
        Says how the group acts on the input; a domain means its plain signals.
    space_out : SignalSpace or Domain, optional
        Says how it acts on the output; left out, the output must not change: what is measured is invariance.
    elements : iterable of int, optional
        The elements to try; by default all. For a large group, ``group.generators`` are enough to tell what is exact: what
        commutes with them commutes with all their products.

    Returns
    -------
    dict of int to float
        The error for each element. Those that err no more than rounding are a subgroup, the symmetry that the function has.

    Raises
    ------
    ValueError
        If the two spaces belong to different groups, there is no element to try, or as ``equivariance_error``.

    Examples
    --------
    What is read off row by row minds a quarter-turn, but not a mirror that swaps left and right.

    >>> from gdl_utils.domains import square_grid
    >>> from gdl_utils.groups import dihedral
    >>> space = SignalSpace(square_grid(4, dihedral(4)))
    >>> errors = equivariance_errors(lambda x: x.sum(-1), torch.rand(4, 4, dtype=torch.float64), space)
    >>> [space.group.labels[g] for g, error in errors.items() if error <= 1e-12]
    ['e', 'm']
    """
    space_in = as_space("space_in", space_in)
    space_out = None if space_out is None else as_space("space_out", space_out)
    group = space_in.group
    if space_out is not None and space_out.group != group:
        raise ValueError(f"space_out: belongs to {space_out.group!r}, space_in to {group!r}")
    elements = list(range(len(group)) if elements is None else elements)
    if not elements:
        raise ValueError("elements: got none; there is nothing to measure")
    y = function(x)
    return {
        g: _error(function(space_in.act(g, x)), y if space_out is None else space_out.act(g, y), y)
        for g in elements
    }


def assert_equivariant(
    function: Callable,
    x: torch.Tensor,
    space_in: SignalSpace | Domain,
    space_out: SignalSpace | Domain | None = None,
    *,
    elements: Iterable[int] | None = None,
    bound: float | None = None,
) -> float:
    """Check f(g·x) = g·f(x) for the elements of a group, and return the largest error.

    Parameters
    ----------
    function : callable
        From signals of ``space_in`` to signals of ``space_out``.
    x : tensor
        A signal of ``space_in``, or a stack of them.
    space_in : SignalSpace or Domain
        Says how the group acts on the input; a domain means its plain signals.
    space_out : SignalSpace or Domain, optional
        Says how it acts on the output; left out, invariance is checked.
    elements : iterable of int, optional
        The elements to try; by default all.
    bound : float, optional
        Largest relative error allowed; by default 1e-12 in float64 and 1e-5 in float32.

    Raises
    ------
    AssertionError
        If an element's error exceeds the bound; the message names the worst element.
    ValueError
        If x is in another type and there is no bound, or as ``equivariance_errors``.

    Examples
    --------
    >>> from gdl_utils.domains import torus
    >>> space = SignalSpace(torus(6))
    >>> x = torch.rand(6, 6, dtype=torch.float64)
    >>> assert_equivariant(torch.sqrt, x, space, space)
    0.0
    >>> assert_equivariant(lambda x: x.cumsum(-1), x, space, space)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    AssertionError: not equivariant: |f(g·x) - g·f(x)| / |f(x)| = ... for g = ... of Z₆² (allowed: 1e-12)
    """
    if bound is None:
        if x.dtype not in BOUND:
            raise ValueError(f"x: got {x.dtype}; exactness is checked in float64 or float32 (or give bound=)")
        bound = BOUND[x.dtype]

    errors = equivariance_errors(function, x, space_in, space_out, elements)
    worst = max(errors, key=errors.get)
    if not errors[worst] <= bound:
        kind, target = ("invariant", "f(x)") if space_out is None else ("equivariant", "g·f(x)")
        group = space_in.group
        raise AssertionError(
            f"not {kind}: |f(g·x) - {target}| / |f(x)| = {errors[worst]:.3g} for g = {group.labels[worst]} of {group.name} "
            f"(allowed: {bound:g})"
        )
    return errors[worst]


def relative_error(y: torch.Tensor, wanted: torch.Tensor) -> float:
    """Return ``|y - wanted| / |wanted|``, in the Euclidean norm.

    Parameters
    ----------
    y : tensor
        What was computed.
    wanted : tensor of the same shape
        What it should be; not zero.

    Raises
    ------
    ValueError
        If the shapes differ, or the error is not finite, as where ``wanted`` is zero.

    Examples
    --------
    >>> relative_error(torch.tensor([0.0, 5.0]), torch.tensor([0.0, 4.0]))
    0.25
    """
    if y.shape != wanted.shape:
        raise ValueError(f"y, wanted: got shapes {tuple(y.shape)} and {tuple(wanted.shape)}; give equal ones")
    (y,), (wanted,) = _leaves(y, "y"), _leaves(wanted, "wanted")
    error = _norm([y - wanted]) / (_norm([wanted]) or math.nan)
    if not error < math.inf:
        raise ValueError(f"wanted: the error is {error}; wanted must not be zero, and both be finite")
    return error


def _error(before: Any, after: Any, y: Any) -> float:
    """Return |f(g·x) - g·f(x)| / |f(x)| from the two ends and f(x)."""
    before, after = _leaves(before, "function(act_in(x))"), _leaves(after, "act_out(function(x))")
    shapes = [tuple(t.shape) for t in before], [tuple(t.shape) for t in after]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"function: f(g·x) has shapes {shapes[0]}, g·f(x) has {shapes[1]}; do act_in and act_out belong together?"
        )
    error = _norm([b - a for b, a in zip(before, after, strict=True)])
    size = _norm(_leaves(y, "function(x)"))
    if not (0 < size < math.inf and error < math.inf):
        raise ValueError(
            f"function: |f(x)| = {size:.3g}, |f(g·x) - g·f(x)| = {error:.3g}; a relative error needs finite, non-zero output"
        )
    return error / size


def _call(function: Callable, x: Any) -> Any:
    if isinstance(x, tuple):
        return function(*x)
    return function(**x) if isinstance(x, dict) else function(x)


def _leaves(output: Any, what: str) -> list[torch.Tensor]:
    """Return the tensors of an output, be it one, a tuple, a list or a dict, in a fixed order."""
    if isinstance(output, torch.Tensor):
        return [output.detach().cpu().to(torch.promote_types(output.dtype, torch.float64))]
    if isinstance(output, dict):
        return [leaf for key in sorted(output) for leaf in _leaves(output[key], what)]
    if isinstance(output, tuple | list):
        return [leaf for item in output for leaf in _leaves(item, what)]
    raise TypeError(
        f"function: {what} gave a {type(output).__name__}; give tensors, or tuples or dicts of them"
    )


def _norm(tensors: list[torch.Tensor]) -> float:
    return sum(float(torch.linalg.vector_norm(t.detach())) ** 2 for t in tensors) ** 0.5
