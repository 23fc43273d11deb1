"""Domains without order: nodes, such as those of a graph, and pairs of nodes."""

import numpy as np

from gdl_utils._checks import check_positive
from gdl_utils.domains.domain import Domain
from gdl_utils.groups import Group, symmetric
from gdl_utils.groups.group import check_group


def nodes(n: int, group: Group | None = None) -> Domain:
    """Return n things without any order, such as the nodes of a graph.

    All orders of more than 8 are too many to list: give some of them, such as ``cyclic(n)``.

    Parameters
    ----------
    n : int
        How many.
    group : Group, optional
        A group of permutations of n things; by default all of them, S_n (n up to 8).

    Returns
    -------
    Domain
        With ``shape`` (n,).

    Raises
    ------
    ValueError
        If the group permutes another number of things.

    Examples
    --------
    >>> nodes(3)
    Domain(3 nodes, 3 points, moved by S₃)
    """
    group = _permuting(n, group)
    return Domain(f"{n} nodes", group, np.arange(n)[:, None], (n,), group.permutations)


def pairs(n: int, group: Group | None = None) -> Domain:
    """Return the ordered pairs of n nodes: an adjacency matrix is a signal on them, and (i, j) goes to (g·i, g·j).

    Errors are those of ``nodes``; the ``shape`` is (n, n).

    Parameters
    ----------
    n : int
        How many nodes.
    group : Group, optional
        A group of permutations of n things; by default all of them, S_n (n up to 8).

    Examples
    --------
    >>> len(pairs(3))
    9
    """
    group = _permuting(n, group)
    i, j = np.divmod(np.arange(n * n), n)
    permutation = group.permutations[:, i] * n + group.permutations[:, j]
    return Domain(f"pairs of {n} nodes", group, np.stack([i, j], axis=1), (n, n), permutation)


def _permuting(n: int, group: Group | None) -> Group:
    group = check_group("group", symmetric(n) if group is None else group)
    if group.permutations.shape[1] != check_positive("n", n):
        raise ValueError(f"group: {group.name} permutes {group.permutations.shape[1]} things, here are {n}")
    return group
