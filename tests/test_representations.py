"""Representations: the irreducible ones against known tables and formulas, and how others are made of them; errors."""

import copy
import pickle

import numpy as np
import pytest

from gdl_utils.domains import torus
from gdl_utils.groups import Group, cyclic, dihedral, octahedral, prismatic, symmetric
from gdl_utils.representations import Representation, complement, decompose, irreps, regular, sign, trivial
from gdl_utils.representations.representation import COMMUTANT

QUATERNIONS = Group([[1, 2, 3, 0, 5, 6, 7, 4], [4, 7, 6, 5, 2, 1, 0, 3]], name="Q₈")  # i, j; a user's own
GROUPS = {
    **{f"C{n}": cyclic(n) for n in (*range(1, 17), 64)},
    **{f"D{n}": dihedral(n) for n in (*range(1, 9), 16)},
    **{f"S{n}": symmetric(n) for n in (1, 2, 3, 4, 5)},
    **{"O": octahedral(), "Oh": octahedral(reflections=True), "D4h": prismatic(4), "Q8": QUATERNIONS},
    "A4": Group([[1, 2, 0, 3], [0, 2, 3, 1]]),
    "C3 x S3": Group([[1, 2, 0, 3, 4, 5], [0, 1, 2, 4, 3, 5], [0, 1, 2, 3, 5, 4]]),
    "Q8 x C3": Group([[*p, *c] for p, c in zip(
        [*QUATERNIONS.permutations[list(QUATERNIONS.generators)], range(8)],
        [(8, 9, 10), (8, 9, 10), (9, 10, 8)], strict=True)]),
}  # fmt: skip
everywhere = pytest.mark.parametrize("group", GROUPS.values(), ids=GROUPS)


def turn(angle):
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def gap_of_products(group, matrices):
    """max |ρ(g) ρ(h) - ρ(gh)| over all pairs."""
    return max(np.abs(matrices[g] @ matrices - matrices[group.product[g]]).max() for g in range(len(group)))


def skewed(representation, seed=0):
    """The same in other coordinates, in which it is not orthogonal."""
    size = representation.size
    basis = np.eye(size) + 0.5 * np.random.default_rng(seed).standard_normal((size, size)) / np.sqrt(size)
    matrices = np.linalg.inv(basis) @ representation.matrices @ basis
    return Representation("skewed", representation.group, matrices)


# The irreducible ones


@everywhere
def test_irreps_are_orthogonal_representations_and_all_there_are(group):
    found = irreps(group)
    assert all(irrep.matrices.shape == (len(group), irrep.size, irrep.size) for irrep in found)
    assert max(gap_of_products(group, irrep.matrices) for irrep in found) <= 1e-12
    assert max(np.abs(r.matrices @ r.matrices.mT - np.eye(r.size)).max() for r in found) <= 1e-12
    assert found[0].name == "trivial" and found[0].axis == () and (found[0].matrices == 1).all()
    characters = np.array([irrep.character for irrep in found])
    dimensions = [COMMUTANT[irrep.kind] for irrep in found]
    assert np.abs(characters @ characters.T / len(group) - np.diag(dimensions)).max() <= 1e-12
    assert sum(r.size**2 / e for r, e in zip(found, dimensions, strict=True)) == len(group)


def test_one_wrong_sign_is_seen():
    """The control: all but one entry of the vectors of a square."""
    wrong = irreps(dihedral(4))[4].matrices.copy()
    wrong[5, 0, 1] *= -1
    assert gap_of_products(dihedral(4), wrong) > 0.1
    with pytest.raises(ValueError, match="that of rm is 2 from what the generators' make"):
        Representation("wrong", dihedral(4), wrong)


# One element of each class, as a product of generators; the characters there.
TABLES = {
    "S3": (["", "a", "ab"], [[1, 1, 1], [1, -1, 1], [2, 0, -1]]),
    "S4": (
        ["", "a", "ac", "ab", "abc"],
        [[1, 1, 1, 1, 1], [1, -1, 1, 1, -1], [2, 0, 2, -1, 0], [3, 1, -1, 0, -1], [3, -1, -1, 0, 1]],
    ),
    "S5": (
        ["", "a", "ac", "ab", "abd", "abc", "abcd"],
        [
            [1, 1, 1, 1, 1, 1, 1],
            [1, -1, 1, 1, -1, -1, 1],
            [4, 2, 0, 1, -1, 0, -1],
            [4, -2, 0, 1, 1, 0, -1],
            [5, 1, 1, -1, 1, -1, 0],
            [5, -1, 1, -1, -1, 1, 0],
            [6, 0, -2, 0, 0, 0, 1],
        ],
    ),
    "D4": (
        ["", "aa", "a", "b", "ab"],
        [[1, 1, 1, 1, 1], [1, 1, 1, -1, -1], [1, 1, -1, 1, -1], [1, 1, -1, -1, 1], [2, -2, 0, 0, 0]],
    ),
    "O": (
        ["", "aa", "a", "ab", "aab"],
        [[1, 1, 1, 1, 1], [1, 1, -1, 1, -1], [2, 2, 0, -1, 0], [3, -1, 1, 0, -1], [3, -1, -1, 0, 1]],
    ),
    "Q8": (["", "aa", "a", "b", "ab"], [[1, 1, 1, 1, 1], [1, 1, 1, -1, -1], [1, 1, -1, 1, -1], [1, 1, -1, -1, 1], [4, -4, 0, 0, 0]]),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLES)
def test_characters_are_those_of_the_known_tables(name):
    group, (words, table) = GROUPS[name], TABLES[name]
    elements = []
    for word in words:
        g = group.identity
        for letter in word:
            g = group.times(g, group.generators["abcd".index(letter)])
        elements.append(g)
    found = [irrep.character[elements] for irrep in irreps(group)]
    assert np.abs(np.array(sorted(map(list, np.round(found, 9)))) - sorted(table)).max() <= 1e-9
    assert np.abs(np.array(found)[:, 0] - sorted(row[0] for row in table)).max() <= 1e-12  # small ones first


@pytest.mark.parametrize("n", [1, 2, 3, 4, 7, 8, 16, 64])
def test_those_of_cyclic_groups_are_numbered_by_their_frequency(n):
    found = irreps(cyclic(n))
    assert len(found) == n // 2 + 1
    for k, irrep in enumerate(found):
        expected = turn(2 * np.pi * k / n) if 0 < 2 * k < n else [[(-1.0) ** (k > 0)]]
        assert np.abs(irrep.matrices[1 % n] - expected).max() <= 1e-12
        assert irrep.name == (f"wave {k}" if k else "trivial")
        assert irrep.kind == ("complex" if 0 < 2 * k < n else "real")


@pytest.mark.parametrize("n", [3, 4, 5, 6, 16])
def test_those_of_dihedral_groups_turn_and_mirror_the_plane(n):
    planes = [irrep for irrep in irreps(dihedral(n)) if irrep.size == 2]
    assert len(planes) == (n - 1) // 2
    for k, plane in enumerate(planes, start=1):
        assert np.abs(plane.matrices[1] - turn(2 * np.pi * k / n)).max() <= 1e-12
        assert np.array_equal(plane.matrices[n], np.diag([1, -1])) and plane.kind == "real"
    assert np.array_equal(irreps(dihedral(n))[1].matrices, sign(dihedral(n)).matrices)
    assert [r.name for r in irreps(dihedral(n))][:2] == ["trivial", "sign"]


def test_turns_of_space_move_the_axes_of_a_cube():
    space = next(r for r in irreps(octahedral()) if r.size == 3 and round(r.character[1]) == 1)
    assert (
        np.isin(space.matrices, (-1, 0, 1)).all() and np.abs(np.linalg.det(space.matrices) - 1).max() <= 1e-12
    )


def test_kinds():
    assert {irrep.kind for irrep in irreps(symmetric(5))} == {"real"}
    assert [(r.size, r.kind) for r in irreps(QUATERNIONS)][4:] == [(4, "quaternionic")]
    assert [(r.size, r.kind) for r in irreps(GROUPS["A4"])] == [(1, "real"), (2, "complex"), (3, "real")]
    assert ("complex", 4) in {(r.kind, r.size) for r in irreps(GROUPS["C3 x S3"])}
    for reducible in (regular(cyclic(4)), trivial(cyclic(4)) + trivial(cyclic(4)), regular(QUATERNIONS)):
        with pytest.raises(ValueError, match="is reducible; decompose says"):
            _ = reducible.kind


def test_the_same_group_has_the_same_numbers_and_no_other_random_numbers_move():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first = irreps(symmetric(4))
    irreps.__globals__["_irreps"].cache_clear()
    for one, other in zip(first, irreps(symmetric(4)), strict=True):
        assert np.array_equal(one.matrices, other.matrices)
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002
    nameless = Group([[1, 2, 3, 0]], names="r")
    assert nameless == cyclic(4) and [r.name for r in irreps(cyclic(4))][1] == "wave 1"
    assert [r.name for r in irreps(nameless)] == ["trivial", "irrep 1", "irrep 2"]
    assert irreps(nameless)[1].group is nameless


def test_a_group_too_large_is_refused_before_anything_is_made():
    with pytest.raises(ValueError, match="group: the regular representation of S₆ would hold"):
        irreps(symmetric(6))
    with pytest.raises(TypeError, match="group: got int; a Group is needed"):
        irreps(4)


# How others are made of them


@everywhere
def test_the_regular_one_falls_into_all_of_them(group):
    fibre = regular(group)
    basis, parts = decompose(fibre)
    assert np.abs(basis.T @ basis - np.eye(len(group))).max() <= 1e-12
    stacked = sum(parts[1:], parts[0]).matrices
    assert np.abs(basis.T @ fibre.matrices @ basis - stacked).max() <= 1e-12
    for irrep in irreps(group):
        times = irrep.size // COMMUTANT[irrep.kind]
        assert fibre.multiplicity(irrep) == times == sum(part is irrep for part in parts)


@pytest.mark.parametrize("name", ["C4", "C7", "D4", "S4", "O", "Q8", "A4", "C3 x S3"])
def test_a_skewed_one_is_put_straight(name):
    found = irreps(GROUPS[name])
    whole = skewed(found[-1] + found[1] + found[-1] + found[0])
    basis, parts = decompose(whole)
    stacked = sum(parts[1:], parts[0]).matrices
    assert np.abs(np.linalg.solve(basis, whole.matrices @ basis) - stacked).max() <= 1e-12
    assert [found.index(part) for part in parts] == sorted([0, 1, len(found) - 1, len(found) - 1])
    swapped = basis[:, ::-1]  # the control: the same vectors in another order
    assert np.abs(np.linalg.solve(swapped, whole.matrices @ swapped) - stacked).max() > 0.1


def test_what_is_a_sum_already_stays_as_it_is():
    for group in (cyclic(5), dihedral(4), QUATERNIONS):
        found = irreps(group)
        basis, parts = decompose(sum(found[1:], found[0]))
        assert np.abs(basis - np.eye(len(basis))).max() <= 1e-12 and parts == found
    with pytest.raises(TypeError, match="representation: got Group"):
        decompose(cyclic(4))


def test_products_and_duals():
    plane = irreps(dihedral(4))[4]
    assert [(plane * plane).multiplicity(r) for r in irreps(dihedral(4))] == [1, 1, 1, 1, 0]
    standard = next(r for r in irreps(symmetric(5)) if round(r.character[1]) == 2)
    assert sorted(r.size for r in decompose(standard * standard)[1]) == [1, 4, 5, 6]
    skew = skewed(standard)
    measured = skew.dual.matrices.mT @ skew.matrices  # a function and a vector that both move
    assert np.abs(measured - np.eye(4)).max() <= 1e-9 and skew.dual.multiplicity(standard) == 1
    assert np.abs(skew.matrices.mT @ skew.matrices - np.eye(4)).max() > 0.1  # the control: no dual
    with pytest.raises(ValueError, match="irrep: belongs to"):
        plane.multiplicity(standard)
    with pytest.raises(ValueError, match="reducible"):
        plane.multiplicity(plane + plane)
    with pytest.raises(TypeError, match="other: got int"):
        plane * 2


def test_what_a_part_of_the_group_does():
    plane = irreps(dihedral(4))[4].restrict(cyclic(4), [1])
    assert plane.kind == "complex" and plane.multiplicity(irreps(cyclic(4))[1]) == 1
    five, four = symmetric(5), symmetric(4)
    branches = {
        tuple(sorted(r.size for r in decompose(irrep.restrict(four, five.generators[:3]))[1]))
        for irrep in irreps(five)
    }
    assert branches == {(1,), (1, 3), (2, 3), (3, 3)}
    with pytest.raises(ValueError, match="make no C₃ in D₄"):
        irreps(dihedral(4))[4].restrict(cyclic(3), [1])
    with pytest.raises(ValueError, match="are not among those of"):
        irreps(five)[2].restrict(four)


def test_they_can_be_stored_and_copied():
    plane = irreps(dihedral(3))[2]
    for other in (pickle.loads(pickle.dumps(plane)), copy.deepcopy(plane)):
        assert np.array_equal(other.matrices, plane.matrices) and other.kind == "real"


@pytest.mark.parametrize(
    ("matrices", "error", "message"),
    [
        (np.ones((3, 1, 1)), ValueError, r"got shape \(3, 1, 1\); one for each element of C₄ is needed"),
        (np.ones((4, 1, 2)), ValueError, "got shape"),
        (np.ones((4, 1)), ValueError, "got shape"),
        (np.full((4, 1, 1), np.nan), ValueError, "not finite"),
        (np.ones((4, 1, 1), complex), TypeError, "give real numbers"),
        (regular(dihedral(2)).matrices, ValueError, "not a representation of C₄"),
        (np.zeros((4, 1, 1)), ValueError, "not a representation of C₄"),
        (np.zeros((4, 0, 0)), ValueError, r"\(4, F, F\) with F ≥ 1"),
    ],
)
def test_what_is_no_representation_is_refused(matrices, error, message):
    with pytest.raises(error, match=message):
        Representation("wrong", cyclic(4), matrices)
    with pytest.raises(TypeError, match="group: got str"):
        Representation("wrong", "C4", matrices)


def test_nobody_changes_what_others_share():
    given = np.ones((4, 1, 1))
    made = Representation("mine", cyclic(4), given)
    given[1] = -1
    assert (made.matrices == 1).all()
    wave, swap = irreps(cyclic(4))[1], regular(cyclic(4))
    for shared in (wave, swap, made, wave + swap, wave * wave, wave.dual, wave.restrict(cyclic(2), [2])):
        with pytest.raises(ValueError, match="read-only"):
            shared.matrices[0] = 0


@pytest.mark.parametrize("make", [trivial, regular, sign, complement, irreps])
def test_a_maker_asks_for_a_group(make):
    with pytest.raises(TypeError, match="group: got Representation; a Group is needed"):
        make(regular(cyclic(2)))
    with pytest.raises(TypeError, match="subgroup: got int; a Group is needed"):
        regular(cyclic(4)).restrict(2)


def test_an_axis_that_does_not_fit_is_refused():
    one, two = np.ones((4, 1, 1)), irreps(cyclic(4))[1].matrices
    assert Representation("one", cyclic(4), one, ()).axis == ()
    assert (
        Representation("one", cyclic(4), one, (1,)).axis == Representation("one", cyclic(4), one).axis == (1,)
    )
    for axis in ((), (5,), 2, [2]):
        with pytest.raises(ValueError, match=r"axis: got .*; for 2 numbers it is \(2,\)$"):
            Representation("two", cyclic(4), two, axis)
    with pytest.raises(ValueError, match=r"for 1 numbers it is \(1,\) or \(\)"):
        Representation("one", cyclic(4), one, (2,))


def test_known_ones_are_made_without_the_check_and_would_pass_it(monkeypatch):
    group = dihedral(3)
    expected = irreps(group)
    monkeypatch.setattr(type(group), "representation", None)
    wave = expected[2]
    made = [regular(group), trivial(group), wave + wave, wave * wave, wave.dual]
    monkeypatch.undo()
    for one in made:
        again = Representation(one.name, group, one.matrices, one.axis)
        assert np.array_equal(again.matrices, one.matrices) and again.axis == one.axis


def test_a_sum_too_large_is_refused_before_it_is_made():
    with pytest.raises(ValueError, match="other: the sum of regular and regular would hold"):
        regular(cyclic(300)) + regular(cyclic(300))


def test_a_torus_is_restricted_to_some_of_its_moves():
    shifts = torus(3).group
    few = Group([shifts.permutations[1]])
    rho, s = regular(shifts), few.generators[0]
    assert np.array_equal(rho.restrict(few).matrices[s], rho.matrices[1])


def test_matrices_of_truth_values_are_matrices():
    swap = np.array([[False, True], [True, False]])
    assert Representation("swap", cyclic(2), np.stack([np.eye(2, dtype=bool), swap])).size == 2
    assert np.array_equal(cyclic(2).representation([swap])[1], swap)
