"""Groups: the axioms, on groups that hypothesis makes up; the tables of known ones; errors."""

from itertools import pairwise
from math import factorial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gdl_utils.groups import Group, cyclic, dihedral, octahedral, prismatic, symmetric

permutations = st.integers(2, 5).flatmap(
    lambda k: st.lists(st.permutations(range(k)), min_size=1, max_size=3)
)
random_groups = permutations.map(Group)


def check_axioms(product, inverse, identity):
    """Assert the axioms of a group on its tables."""
    everyone = np.arange(len(product))
    assert np.array_equal(product[identity], everyone) and np.array_equal(product[:, identity], everyone)
    assert np.all(product[everyone, inverse] == identity) and np.all(product[inverse, everyone] == identity)
    assert np.array_equal(product[product], product[:, product])  # (gh)k = g(hk)


@settings(max_examples=60, deadline=None)
@given(random_groups)
def test_axioms_hold_for_any_generators(group):
    check_axioms(group.product, group.inverse, group.identity)


def test_the_check_of_the_axioms_can_fail():
    group = dihedral(3)
    subtraction = (np.arange(6)[:, None] - np.arange(6)) % 6
    with pytest.raises(AssertionError):
        check_axioms(subtraction, np.arange(6), 0)  # bracketing matters, and 0 - x is not x
    with pytest.raises(AssertionError):
        check_axioms(group.product, np.arange(6), 0)  # not every element is its own inverse


@settings(max_examples=60, deadline=None)
@given(random_groups)
def test_product_is_composition_of_the_permutations(group):
    p = group.permutations
    for g in range(0, len(group), 7):
        for h in range(0, len(group), 5):
            assert np.array_equal(p[group.product[g, h]], p[g][p[h]])  # first h, then g
            assert group.times(g, h) == group.product[g, h]
    assert group.is_abelian == np.array_equal(group.product, group.product.T)


@settings(max_examples=60, deadline=None)
@given(random_groups)
def test_closure_has_no_element_twice_and_divides_the_factorial(group):
    assert len({p.tobytes() for p in group.permutations}) == len(group)
    assert factorial(group.permutations.shape[1]) % len(group) == 0  # Lagrange
    assert len(set(group.labels)) == len(group)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 7, 12])
def test_cyclic_numbers_its_elements_by_their_multiple(n):
    i = np.arange(n)
    assert np.array_equal(cyclic(n).product, (i[:, None] + i) % n)
    assert np.array_equal(cyclic(n).inverse, -i % n)
    assert cyclic(n).is_abelian
    assert np.array_equal(cyclic(n).permutations[-1], np.roll(i, 1))  # the generator moves point i to i + 1


@pytest.mark.parametrize(
    ("group", "name", "labels"),
    [
        (cyclic(4), "C₄", "e r r² r³"),
        (dihedral(2), "D₂", "e r m rm"),
        (symmetric(3), "S₃", "e a b ab ba aba"),
        (octahedral(), "O", "e r r² r³ s rs"),
        (octahedral(reflections=True), "Oₕ", "e r r² r³ s rs"),
        (prismatic(2), "D₂ₕ", "e r m rm z rz mz rmz"),
        (Group([[1, 0], [0, 1]], names=["swap", "stay"]), "G", "e swap"),
    ],
    ids=repr,
)
def test_names_of_groups_and_of_their_elements(group, name, labels):
    labels = labels.split()
    assert group.name == name and list(group.labels[: len(labels)]) == labels


@pytest.mark.parametrize("n", [1, 2, 3, 4, 6])
def test_dihedral_has_turns_then_mirrored_turns(n):
    group = dihedral(n)
    assert len(group) == 2 * n
    assert group.is_abelian == (n <= 2)
    r, m = group.generators
    turn = 0
    for i in range(n):
        assert turn == i and group.product[turn, m] == n + i
        turn = group.product[r, turn]
    assert group.product[m, m] == group.identity
    assert group.product[group.product[m, r], m] == group.inverse[r]


@pytest.mark.parametrize("n", [*range(1, 7), 8])
def test_symmetric_has_all_orders(n):
    assert len(symmetric(n)) == factorial(n) == len(set(symmetric(n).labels))
    assert symmetric(n).is_abelian == (n <= 2)


def test_five_eighths_is_the_most_that_commutes():
    table = dihedral(4).product
    assert (table == table.T).mean() == 5 / 8  # Gustafson 1973: no group that is not abelian has more


@pytest.mark.parametrize("group", [cyclic(6), dihedral(5), symmetric(4)], ids=repr)
def test_representation_and_action_respect_all_products(group):
    rho = group.representation([np.eye(len(p))[:, p] for p in group.permutations[list(group.generators)]])
    moved = group.action(group.permutations[list(group.generators)])
    assert np.array_equal(moved, group.permutations)
    for g in range(len(group)):
        assert np.array_equal(rho[g] @ rho, rho[group.product[g]])
        assert np.array_equal(moved[g][moved], moved[group.product[g]])


@pytest.mark.parametrize(
    "images",
    [
        [[[0, -1], [1, 0]], [[1, 0], [0, 1]]],  # a mirror that does nothing
        [[[0, -1], [1, 0]], [[-1, 0], [0, -1]]],  # a half-turn for a mirror
        [[[0, 0], [0, 0]], [[0, 0], [0, 0]]],  # the identity would have to be 0
        [[[np.nan, 0], [0, 1]], [[1, 0], [0, 1]]],
    ],
)
def test_a_representation_that_is_none_is_refused(images):
    with pytest.raises(ValueError, match="matrices: not a representation of D₄"):
        dihedral(4).representation(images)


def test_an_action_that_is_none_is_refused():
    with pytest.raises(ValueError, match="permutations: not an action of C₃"):
        cyclic(3).action([[1, 0]])


def test_turns_by_irrational_cosines_are_a_representation():
    angle = 2 * np.pi / 7
    rho = cyclic(7).representation([[[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]])
    assert np.allclose(np.linalg.det(rho), 1)


def test_a_representation_is_told_up_to_the_rounding_of_its_size():
    u, v = np.array([1e9, 1]), np.array([0.3e-9, 0.7])  # u·v = 1: a mirror, in a basis that is lopsided
    mirror = np.eye(2) - 2 * np.outer(u, v)
    assert 1e-9 < np.abs(cyclic(2).representation([mirror])[1] @ mirror - np.eye(2)).max() < 1
    with pytest.raises(ValueError, match="not a representation of C₂"):
        cyclic(2).representation([[[1 + 1e-7]]])  # which is more than rounding for numbers of size 1


def wheels(*lengths):
    """The product of cyclic groups: each generator turns a wheel of its own."""
    starts, everyone = np.cumsum([0, *lengths]), np.arange(sum(lengths))
    turn = lambda a, b: np.r_[everyone[:a], np.roll(everyone[a:b], -1), everyone[b:]]
    return Group([turn(a, b) for a, b in pairwise(starts)])


def test_tables_are_lazy_read_only_and_limited():
    big = wheels(7, 11, 29)  # no table is made
    assert len(big) == 7 * 11 * 29 > 2_000
    with pytest.raises(ValueError, match="2,233 elements, and tables are made up to 2,000"):
        _ = big.product
    assert np.array_equal(
        big.permutations[big.times(2_000, 233)], big.permutations[2_000][big.permutations[233]]
    )
    assert wheels(5, 5, 5, 2, 2, 2, 2).product.shape == (2_000, 2_000)
    assert len(wheels(5, 5, 5, 5, 5, 2, 2, 2, 2)) == 50_000  # the largest group that is listed
    for table in (cyclic(3).product, cyclic(3).inverse, cyclic(3).permutations):
        with pytest.raises(ValueError, match="read-only"):
            table[0] = 1


def test_equality_is_by_content():
    assert cyclic(4) == cyclic(4) and hash(cyclic(4)) == hash(cyclic(4))
    assert cyclic(4) != dihedral(2) and (cyclic(4) == "C₄") is False
    turn, back = [1, 2, 3, 0], [3, 0, 1, 2]
    assert Group([turn]) != Group([back])  # other permutations
    assert Group([turn]) != Group([turn, back])  # the same ones, made by others
    assert Group([np.array(turn, dtype=np.uint8), back]) == Group([turn, back])


@pytest.mark.parametrize("g", [0, 3, np.int64(2)])
def test_an_element_may_come_as_any_integer(g):
    found = cyclic(np.int64(4)).check_element(g)
    assert found == g and type(found) is int


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: Group([]), ValueError, "generators: got none"),
        (lambda: Group([[0, 0, 1]]), ValueError, r"generators\[0\]: \[0, 0, 1\] is no permutation"),
        (lambda: Group([3]), ValueError, r"generators\[0\]: 3 is no permutation"),
        (lambda: Group([[0.0, 1.0]]), TypeError, r"generators\[0\]: got values of type float64"),
        (lambda: Group([[0, 1], [0, 1, 2]]), ValueError, r"act on \[2, 3\] points"),
        (lambda: Group([[1, 0]], names="ab"), ValueError, "names: got 2 for 1"),
        (lambda: Group([[1, 0, 2], [0, 2, 1]], names="aa"), ValueError, "names: got .*must differ"),
        (lambda: Group([[1, 0]], names="e"), ValueError, "names: got .*'e'"),
        (lambda: cyclic(4).times(4, 0), IndexError, "C₄ has no element 4"),
        (lambda: Group([np.roll(np.arange(9), 1), [1, 0, *range(2, 9)]]), ValueError, "more than 50,000"),
        (lambda: cyclic(0), ValueError, "n: got 0"),
        (lambda: cyclic(2.5), TypeError, "n: got 2.5"),
        (lambda: dihedral(True), TypeError, "n: got True"),
        (lambda: symmetric(0), ValueError, "n: got 0"),
        (lambda: symmetric(9), ValueError, "n may be 1 to 8"),
        (lambda: cyclic(4).check_element(4), IndexError, "C₄ has no element 4; its elements are 0 to 3"),
        (lambda: cyclic(4).check_element(-1), IndexError, "no element -1"),
        (lambda: cyclic(4).check_element("r"), TypeError, "g: got 'r'"),
        (lambda: cyclic(4).check_element(True), TypeError, "g: got True"),
        (lambda: dihedral(4).action([[0]]), ValueError, "permutations: got 1; D₄ has 2 generators"),
        (lambda: cyclic(3).action([[0, 0, 1]]), ValueError, r"permutations\[0\]: .* is no permutation"),
        (lambda: cyclic(4).representation([np.ones((2, 2, 1))]), ValueError, "matrices: .* must be square"),
        (lambda: dihedral(4).representation([np.eye(2)]), ValueError, "matrices: got 1; D₄ has 2 generators"),
        (lambda: cyclic(4).representation([np.ones((2, 3))]), ValueError, r"all must be square"),
        (lambda: dihedral(4).representation([np.eye(2), np.ones((2, 3))]), ValueError, "must be square"),
        (lambda: dihedral(4).representation([np.eye(2), np.eye(3)]), ValueError, "must have the same"),
    ],
)
def test_bad_input_is_named(make, error, words):
    with pytest.raises(error, match=words):
        make()


@pytest.mark.parametrize(("reflections", "orders"), [(False, {1: 1, 2: 9, 3: 8, 4: 6})])
def test_the_turns_of_a_cube_have_their_orders(reflections, orders):
    group = octahedral(reflections)
    check_axioms(group.product, group.inverse, group.identity)
    found = [order(group, g) for g in range(len(group))]
    assert {n: found.count(n) for n in set(found)} == orders


def test_the_inversion_doubles_the_turns_of_a_cube_and_commutes_with_all():
    turns, all_48 = octahedral(), octahedral(reflections=True)
    i = all_48.generators[2]
    assert i == 24 and np.array_equal(all_48.product[:24, :24], turns.product)
    assert np.array_equal(all_48.product[i], all_48.product[:, i])
    r = all_48.generators[0]
    assert not np.array_equal(all_48.product[r], all_48.product[:, r])  # the control: a turn does not


@pytest.mark.parametrize("n", [1, 2, 3, 4, 6])
def test_a_prism_doubles_the_polygon_by_the_reversal_of_depth(n):
    flat, group = dihedral(n), prismatic(n)
    check_axioms(group.product, group.inverse, group.identity)
    r, m, z = group.generators
    assert len(group) == 4 * n and z == 2 * n and group.product[z, z] == group.identity
    assert np.array_equal(group.product[: 2 * n, : 2 * n], flat.product)
    assert np.array_equal(group.product[z], group.product[:, z]) and group.product[z, 1] == 2 * n + 1
    assert group.is_abelian == (n <= 2)  # the control: m commutes with less
    turns = {
        int(group.product[g, group.product[m, z] if mirrored else 0]) for g in range(n) for mirrored in (0, 1)
    }
    assert len(turns) == 2 * n and set(group.product[[*turns]][:, [*turns]].ravel()) == turns  # closed: D_n
    assert turns != set(range(2 * n)) and r in turns  # another one than that of r and m


def order(group, g):
    """The smallest n with gⁿ = e."""
    n, power = 1, g
    while power != group.identity:
        n, power = n + 1, group.product[g, power]
    return n
