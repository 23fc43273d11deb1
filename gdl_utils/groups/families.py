"""The groups that the book uses by name."""

import numpy as np

from gdl_utils._checks import check_positive, check_size
from gdl_utils.groups.closure import MAX_ENTRIES
from gdl_utils.groups.group import SUBSCRIPTS, Group


def cyclic(n: int) -> Group:
    """Return C_n (also written Z_n), the turns by multiples of 360°/n; element i is i times the generator ``r``.

    Parameters
    ----------
    n : int
        How many turns, from 1 up to 5,792 (whose table takes 256 MiB).

    Examples
    --------
    >>> int(cyclic(4).product[1, 3])  # a quarter-turn after three of them is no turn
    0
    """
    n = check_positive("n", n)
    check_size("n", n * n, f"the table of C{n}".translate(SUBSCRIPTS), MAX_ENTRIES)
    return Group(
        [np.roll(np.arange(n), -1)], names="r", name=f"C{n}".translate(SUBSCRIPTS), family="cyclic", degree=n
    )


def dihedral(n: int) -> Group:
    """Return D_n, the 2n turns and mirror images of a regular n-gon: ``r^i`` is element i, ``r^i m`` is element n + i.

    Parameters
    ----------
    n : int
        How many turns, from 1 up to 2,896.

    Examples
    --------
    >>> D4 = dihedral(4)
    >>> r, m = D4.generators
    >>> D4.labels[D4.product[r, m]], D4.labels[D4.product[m, r]]
    ('rm', 'r³m')
    """
    n = check_positive("n", n)
    check_size("n", 4 * n * n, f"the table of D{n}".translate(SUBSCRIPTS), MAX_ENTRIES)
    # Two rings of n points, swapped by the mirror: on one ring D_1 and D_2 would lose elements.
    i = np.arange(n)
    turn = np.r_[(i + 1) % n, n + (i + 1) % n]
    mirror = np.r_[n + -i % n, -i % n]
    return Group([turn, mirror], names="rm", name=f"D{n}".translate(SUBSCRIPTS), family="dihedral", degree=n)


def prismatic(n: int) -> Group:
    """Return D_nh, the 4n symmetries of a prism over a regular n-gon: D_n in the plane, and together with them the reversal of depth.

    They are those of voxels that are longer along one axis than along the others. The generators ``r`` and ``m`` are those of
    ``dihedral(n)``; ``z``, the reversal, commutes with everything: element 2n + k is element k with depth reversed. Half of the
    elements are turns in space: ``r^i``, and ``r^i m z``, half a turn about an axis in the plane. These, too, are called D_n, and they
    are another subgroup than the one of ``r`` and ``m``, in which ``m`` is a mirror image.

    Parameters
    ----------
    n : int
        How many turns, from 1 up to 1,448.

    Examples
    --------
    >>> len(prismatic(4)), prismatic(4).name
    (16, 'D₄ₕ')
    """
    name = f"D{check_positive('n', n)}".translate(SUBSCRIPTS) + "ₕ"
    check_size("n", 16 * n * n, f"the table of {name}", MAX_ENTRIES)
    r, m = dihedral(n).permutations[[*dihedral(n).generators]]
    # Two copies, above and below, which the reversal swaps.
    images = [np.r_[r, 2 * n + r], np.r_[m, 2 * n + m], np.roll(np.arange(4 * n), 2 * n)]
    return Group(images, names="rmz", name=name, family="prismatic", degree=n)


def symmetric(n: int) -> Group:
    """Return S_n, all n! orders of n things, made by swaps of neighbours ``a, b, c, …``.

    Parameters
    ----------
    n : int
        How many things, 1 to 8.

    Examples
    --------
    >>> len(symmetric(4)), symmetric(3).is_abelian
    (24, False)
    """
    n = check_positive("n", n)
    if n > 8:
        raise ValueError(f"n: the orders of {n} things are too many to list; n may be 1 to 8 (8! = 40,320)")
    swaps = []
    for i in range(n - 1):
        swap = np.arange(n)
        swap[[i, i + 1]] = i + 1, i
        swaps.append(swap)
    return Group(swaps or [np.arange(n)], name=f"S{n}".translate(SUBSCRIPTS))


def octahedral(reflections: bool = False) -> Group:
    """Return O, the 24 turns of a cube, or with ``reflections`` O_h, its 48 turns and mirror images.

    The generators ``r`` and ``s`` are quarter-turns about two axes: in the plane of rows and columns, and in the plane of
    depth and rows. With reflections comes ``i``, the inversion through the centre, which commutes with everything: element
    24 + k is element k inverted.

    Parameters
    ----------
    reflections : bool
        Whether to add the mirror images.

    Examples
    --------
    >>> len(octahedral()), len(octahedral(reflections=True))
    (24, 48)
    """
    # Where they send the faces +depth, +row, +column, -depth, -row and -column.
    r, s, i = [0, 2, 4, 3, 5, 1], [1, 3, 2, 4, 0, 5], [3, 4, 5, 0, 1, 2]
    images = [r, s, i] if reflections else [r, s]
    return Group(images, names="rsi"[: len(images)], name="Oₕ" if reflections else "O", family="octahedral")
