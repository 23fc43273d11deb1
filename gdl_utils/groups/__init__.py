"""Finite groups: one class, and the groups that the book names.

A group is a set of permutations that is closed under composing; see ``Group`` for how its elements are numbered.
"""

from gdl_utils.groups.families import cyclic, dihedral, octahedral, prismatic, symmetric
from gdl_utils.groups.group import Group

__all__ = ["Group", "cyclic", "dihedral", "octahedral", "prismatic", "symmetric"]
