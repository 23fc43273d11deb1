"""Representations: how a group acts on a few numbers, by matrices that multiply as its elements do, ρ(gh) = ρ(g) ρ(h).

The values of a signal at a point are such numbers, its *fibre*: a grey value that stays, an arrow that turns with the picture, one
entry for each element of the group. From some representations others are made: side by side (``+``), of all products of two
(``*``), of the measuring of vectors (``dual``), of a part of the group (``restrict``). ``irreps`` finds those that all others
are made of, and ``decompose`` the coordinates in which one is made of them.
"""

from gdl_utils.representations.families import complement, regular, sign, trivial
from gdl_utils.representations.irreducible import decompose, irreps
from gdl_utils.representations.lie import LieRepresentation, lorentz, rotations
from gdl_utils.representations.representation import Representation

__all__ = [
    "LieRepresentation",
    "Representation",
    "complement",
    "decompose",
    "irreps",
    "lorentz",
    "regular",
    "rotations",
    "sign",
    "trivial",
]
