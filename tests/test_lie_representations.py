"""Groups that turn by any angle, by their generators; and how sure the solver is."""

import numpy as np
import pytest
import torch
from scipy.linalg import expm

from gdl_utils.domains.grids import CUBE_MATRICES
from gdl_utils.groups import dihedral, octahedral, symmetric
from gdl_utils.intertwiners import equivariant_basis, intertwiners
from gdl_utils.layers import EquivariantLinear
from gdl_utils.representations import (
    LieRepresentation,
    Representation,
    irreps,
    lorentz,
    regular,
    rotations,
)

VECTOR, SPACETIME = rotations(3), lorentz()


def broken(basis, rho_in, rho_out):
    """How much a basis breaks the equations of generators, of a random element near the identity, and of whole ones."""
    random = np.random.default_rng(0).standard_normal(len(rho_in.small))
    element = lambda rho: expm(0.7 * sum(c * m for c, m in zip(random, rho.small, strict=True)))
    pairs = [*zip(rho_in.small, rho_out.small, strict=True), *zip(rho_in.whole, rho_out.whole, strict=True)]
    pairs.append((element(rho_in), element(rho_out)))
    return max((np.abs(b @ w - w @ a).max() for a, b in pairs for w in basis.numpy()), default=0)


def power(rho, n):
    product = rho
    for _ in range(n - 1):
        product = product * rho
    return product


KNOWN = {
    "vectors to vectors": (VECTOR, VECTOR, 1),
    "two vectors to a number, the dot product": (VECTOR * VECTOR, VECTOR.trivial, 1),
    "two vectors to a vector, the cross product": (VECTOR * VECTOR, VECTOR, 1),
    "not if mirrors count": (power(rotations(3, reflections=True), 2), rotations(3, reflections=True), 0),
    "three vectors to a number, the volume": (power(VECTOR, 3), VECTOR.trivial, 1),
    "matrices to matrices: trace, rest, antisymmetric": (VECTOR * VECTOR, VECTOR * VECTOR, 3),
    "T(3) to T(3)": (power(VECTOR, 3), power(VECTOR, 3), 15),
    "the plane: stretch and turn": (rotations(2), rotations(2), 2),
    "the plane with mirrors: stretch": (rotations(2, reflections=True), rotations(2, reflections=True), 1),
    "four dimensions": (power(rotations(4), 2), power(rotations(4), 2), 4),
    "Lorentz: vectors to covectors, the metric": (SPACETIME, SPACETIME.dual, 1),
    "Lorentz: vector to T(2,1)": (SPACETIME, SPACETIME * SPACETIME * SPACETIME.dual, 3),
}


@pytest.mark.parametrize("name", KNOWN)
def test_dimensions_that_are_known(name):
    rho_in, rho_out, dim = KNOWN[name]
    found = intertwiners(rho_in, rho_out)
    assert (found.dim, found.by_characters) == (dim, None)
    assert broken(found.basis, rho_in, rho_out) < 1e-12 * max(1, 40 * dim)
    assert found.broken < 1e-12 and found.gap > 0.01
    other = torch.randn(1, *found.basis.shape[1:], dtype=torch.float64)
    assert broken(other, rho_in, rho_out) > 0.1  # the control


def test_the_cross_product_and_the_metric_are_themselves():
    cross = intertwiners(VECTOR * VECTOR, VECTOR).basis[0].reshape(3, 3, 3)
    x, y = torch.randn(2, 3, dtype=torch.float64)
    found = torch.einsum("abc,b,c->a", cross, x, y)
    wanted = torch.linalg.cross(x, y)
    assert torch.allclose(found * (wanted[0] / found[0]), wanted)
    metric = intertwiners(SPACETIME, SPACETIME.dual).basis[0]
    assert torch.allclose(metric / metric[0, 0], torch.diag(torch.tensor([1.0, -1, -1, -1]).double()))


def test_sums_products_and_duals_multiply_as_they_should():
    both = (VECTOR + VECTOR * VECTOR).dual
    assert both.size == 12 and both.group == "SO(3)"
    t = [0.3, -1.1, 0.4]
    element = lambda rho: expm(sum(c * m for c, m in zip(t, rho.small, strict=True)))
    one = element(VECTOR)
    wanted = np.linalg.inv(np.block([[one, np.zeros((3, 9))], [np.zeros((9, 3)), np.kron(one, one)]])).T
    assert np.abs(element(both) - wanted).max() < 1e-12
    assert ((VECTOR + VECTOR.trivial) * VECTOR).name == "(vector + trivial) ⊗ vector"
    assert [m.diagonal().tolist() for m in SPACETIME.whole] == [[-1, 1, 1, 1], [1, -1, -1, -1]]


def test_the_same_space_in_other_coordinates():
    """Turned coordinates are solved by the random combination, skewed ones by all equations at once."""
    square = VECTOR * VECTOR
    for seed, skew in ((0, False), (1, True)):
        T = np.random.default_rng(seed).standard_normal((9, 9))
        T = T if skew else np.linalg.qr(T)[0]
        moved = LieRepresentation("moved", "SO(3)", [T @ m @ np.linalg.inv(T) for m in square.small])
        found = intertwiners(moved, square * VECTOR)
        plain = intertwiners(square, square * VECTOR)
        assert found.dim == plain.dim == 6
        back = torch.cat([found.basis @ torch.from_numpy(T), plain.basis]).flatten(1)
        assert torch.linalg.matrix_rank(back, rtol=1e-8) == 6


def test_a_dual_undoes_an_element_that_keeps_no_lengths():
    shear = LieRepresentation("shear", "two elements", [], [[[1, 1], [0, -1]]])
    assert np.allclose(shear.dual.whole[0].T @ shear.whole[0], np.eye(2))


def test_whole_elements_act_on_products_in_the_order_of_kron():
    plane = rotations(2, reflections=True)
    sum_, (mirror,) = plane + plane.trivial, plane.whole
    assert np.array_equal((sum_ * plane).whole[0], np.kron(sum_.whole[0], mirror))
    assert not np.array_equal((sum_ * plane).whole[0], (plane * sum_).whole[0])  # the control


def test_what_is_done_to_generators_afterwards_changes_nothing():
    turn = np.array([[0.0, -1.0], [1.0, 0.0]])
    plane = LieRepresentation("vector", "SO(2)", [turn])
    turn[:] = 0
    assert plane.small[0].tolist() == [[0, -1], [1, 0]]


def test_more_than_four_hundred_unknowns_in_skewed_coordinates():
    cube = power(VECTOR, 3)
    T = np.random.default_rng(0).standard_normal((27, 27)) + 9 * np.eye(27)
    moved = LieRepresentation("moved", "SO(3)", [T @ m @ np.linalg.inv(T) for m in cube.small])
    found = intertwiners(moved, cube)
    assert found.dim == 15 and broken(found.basis, moved, cube) < 1e-9


def test_generators_that_do_nothing_leave_every_map():
    found = intertwiners(VECTOR.trivial, VECTOR.trivial)
    assert found.basis.abs().tolist() == [[[1]]] and found.broken == 0


@pytest.mark.parametrize("group", [octahedral(), dihedral(4), symmetric(4)], ids=lambda g: g.name)
def test_representations_of_finite_groups_and_their_characters(group):
    for one in irreps(group):
        for other in (one * one, one + regular(group), one.dual):
            found = intertwiners(one, other)
            assert found.dim == found.by_characters
            assert found.broken < 1e-12 and found.gap > 1e-3


def test_bilinear_maps_of_vectors():
    """Hom(V⊗V, V): the cross product for the turns of a cube; nothing once mirrors count."""
    for reflections, dim in ((False, 1), (True, 0)):
        cube = octahedral(reflections)
        V = Representation("vector", cube, cube.representation(list(CUBE_MATRICES[: 2 + reflections])))
        found = intertwiners(V * V, V)
        assert found.dim == found.by_characters == dim


def test_twenty_thousand_unknowns_that_are_no_permutations():
    group = symmetric(5)
    once = sum(irreps(group)[1:], irreps(group)[0])
    some = sum([once] * 5, once)
    T = np.linalg.qr(np.random.default_rng(0).standard_normal((some.size,) * 2))[0]
    moved = [T @ m @ T.T for m in some.matrices[list(group.generators)]]
    found = intertwiners(moved, moved)
    assert some.size**2 > 20_000 and found.dim == 7 * 6**2
    assert found.broken < 1e-11 and found.gap > 1e-3


def test_matrices_that_are_nearly_a_representation_are_noticed():
    turn = np.array([[0.0, -1], [1, 0]])
    off = turn + np.array([[0, -1e-6], [0, 0]])
    with pytest.warns(UserWarning, match=r"breaks the equations by 5\.0e-07 only"):
        found = intertwiners([turn], [off])
    assert found.dim == 0 and found.gap < 1e-5
    assert intertwiners([turn], [turn]).gap > 1


def test_another_number_than_that_of_characters_is_said(monkeypatch):
    one = irreps(symmetric(3))[0]
    monkeypatch.setattr("gdl_utils.intertwiners._count", lambda *_: 7)
    with pytest.warns(UserWarning, match="1 solutions were found, and 7 are expected by characters"):
        intertwiners(one, one)


def test_a_mirror_far_from_the_origin_is_an_element_of_the_euclidean_group():
    small = [np.pad(m, (0, 1)) for m in VECTOR.small]
    small += [np.outer(np.eye(4)[k], np.eye(4)[3]) for k in range(3)]
    far = np.diag([-1.0, 1, 1, 1]) + 2e5 * np.outer(np.eye(4)[0], np.eye(4)[3])
    LieRepresentation("places", "E(3)", small, [far])


def test_what_contradicts_itself_is_refused_in_words():
    x, y, z = VECTOR.small
    bad = [
        (lambda: LieRepresentation("two", "SO(3)", [x, y]), ValueError, "lies .* outside of their span"),
        (lambda: LieRepresentation("none", "SO(3)", []), ValueError, "at least one matrix"),
        (lambda: LieRepresentation("wide", "SO(3)", [np.ones((2, 3))]), ValueError, "must be square"),
        (lambda: LieRepresentation("nan", "SO(3)", [x * np.nan]), ValueError, "not finite"),
        (lambda: LieRepresentation("two", "SO(3)", [x, np.eye(2)]), ValueError, r"sizes \[2, 3\]"),
        (lambda: LieRepresentation("flat", "O(2)", [], [np.zeros((2, 2))]), ValueError, "not invertible"),
        (lambda: rotations(1), ValueError, "two dimensions or more"),
        (lambda: VECTOR + SPACETIME, ValueError, r"belongs to O\(1, 3\), not to SO\(3\)"),
        (lambda: VECTOR + LieRepresentation("x", "SO(3)", [x]), ValueError, "or has other generators"),
        (lambda: VECTOR * 3, TypeError, "a LieRepresentation is needed"),
        (lambda: intertwiners(VECTOR, VECTOR.small), TypeError, "two of a kind"),
        (lambda: intertwiners(VECTOR, SPACETIME), ValueError, "belongs to"),
    ]
    bad.append((lambda: LieRepresentation("x", "x", [np.eye(3), x, y]), ValueError, "number 1 and number 2"))
    skewed = [np.eye(65) + np.eye(65, k=1)]
    bad.append((lambda: intertwiners(skewed, skewed), ValueError, "up to 4,096 are solved where"))
    swapped = LieRepresentation("swapped", "SO(3)", [y, x, z])
    bad.append((lambda: intertwiners(VECTOR, swapped), ValueError, "outside of their span"))
    tiny = [1e-5 * x, 1e-5 * y]
    bad.append((lambda: LieRepresentation("tiny", "SO(3)", tiny), ValueError, "outside of their span"))
    often = [x, x, x, y]  # four matrices of a space of two dimensions
    bad.append((lambda: LieRepresentation("often", "SO(3)", often), ValueError, "outside of their span"))
    affine = [np.pad(m, (0, 1)) for m in (x, y, z)] + [np.outer(np.eye(4)[k], np.eye(4)[3]) for k in range(3)]
    far = np.diag([-1.0, 1, 2, 1]) + 2e5 * np.outer(np.eye(4)[0], np.eye(4)[3])  # stretched, and far away
    bad.append((lambda: LieRepresentation("places", "E(3)", affine, [far]), ValueError, r"whole\[0\]: takes"))
    turn, stretched = [[0, -1], [1, 0]], np.diag([2.0, 1])
    bad.append(
        (lambda: LieRepresentation("v", "O(2)", [turn], [stretched]), ValueError, r"whole\[0\]: takes")
    )
    space = rotations(3, reflections=True)
    still = LieRepresentation("still", "O(3)", space.small, [np.eye(3)])  # its mirror does nothing
    bad.append((lambda: intertwiners(space, still), ValueError, r"whole\[0\]: takes small\[0\]"))
    one = irreps(symmetric(3))[0]
    bad.append((lambda: intertwiners(one, irreps(symmetric(4))[0]), ValueError, "rho_out: belongs to"))
    bad.append((lambda: intertwiners(one, one, group=symmetric(4)), ValueError, "both sides are of"))
    for call, error, words in bad:
        with pytest.raises(error, match=words):
            call()


def test_a_layer_of_a_lie_group():
    basis = equivariant_basis(VECTOR + VECTOR * VECTOR, VECTOR)
    layer = EquivariantLinear(basis, 2, 3).double()
    turn = expm(0.4 * VECTOR.small[0] - 1.3 * VECTOR.small[2])
    before = torch.from_numpy(np.block([[turn, np.zeros((3, 9))], [np.zeros((9, 3)), np.kron(turn, turn)]]))
    x = torch.randn(5, 2, 12, dtype=torch.float64)
    there, here = layer(x @ before.T), layer(x) @ torch.from_numpy(turn).T
    assert (there - here).abs().max() < 1e-12 < 0.1 < (layer(x) - here).abs().max()


def test_complex_generators_are_refused():
    with pytest.raises(ValueError, match="small: has entries that are not finite real numbers"):
        LieRepresentation("spin", "su2", [np.array([[0, -1j], [1j, 0]])])
