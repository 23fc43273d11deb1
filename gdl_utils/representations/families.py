"""The representations that the book uses by name."""

import numpy as np

from gdl_utils._checks import check_size
from gdl_utils.groups.group import Group, check_group
from gdl_utils.representations.representation import Representation


def trivial(group: Group) -> Representation:
    """Return the representation that the group leaves alone: one number at each point, as a grey value. Its axis is dropped.

    Parameters
    ----------
    group : Group
        The group that acts.
    """
    check_group("group", group)
    return Representation._known("trivial", group, np.ones((len(group), 1, 1)), axis=())


def regular(group: Group) -> Representation:
    """Return the fibre with one entry for each element of the group, which g moves from h to gh.

    Parameters
    ----------
    group : Group
        The group that acts; up to 406 elements.

    Raises
    ------
    ValueError
        If the group has more than 406 elements: a matrix for each would hold more than 67 million numbers.
    """
    check_group("group", group)
    check_size("group", len(group) ** 3, f"the matrices of the regular fibre of {group.name}")
    product = group.product
    matrices = np.zeros((len(group),) * 3)
    for g, row in enumerate(product):
        matrices[g, row, np.arange(len(group))] = 1
    return Representation._known("regular", group, matrices)


def complement(group: Group) -> Representation:
    """Return the fibre of a base of DNA, one-hot in the order A, C, G, T, for C_2, which swaps A with T and C with G.

    On a ``strand`` read backwards this is the reverse complement: what the other strand says.

    Parameters
    ----------
    group : Group
        The group that acts: C_1 or C_2.

    Raises
    ------
    ValueError
        If the group is not C_1 or C_2.
    """
    check_group("group", group)
    if group.family != "cyclic" or group.degree > 2:
        raise ValueError(f"group: got {group.name}; the complement of a base is an action of C₂")
    swap = np.eye(4)[::-1] if group.degree == 2 else np.eye(4)
    return Representation("complement", group, group.representation([swap]))


def sign(group: Group) -> Representation:
    """Return the fibre of one number that a turn keeps and a mirror image turns to its negative.

    Parameters
    ----------
    group : Group
        The group that acts: dihedral, prismatic or octahedral.

    Raises
    ------
    ValueError
        If the group is none of these: which of its elements are mirror images is not known.
    """
    check_group("group", group)
    flips = {"dihedral": [1, -1], "prismatic": [1, -1, -1], "octahedral": [1, 1, -1]}.get(group.family)
    if flips is None:
        raise ValueError(
            f"group: got {group.name}; mirror images are known in dihedral, prismatic and octahedral groups"
        )
    matrices = [[[flip]] for flip in flips[: len(group.generators)]]
    return Representation("sign", group, group.representation(matrices).astype(float))
