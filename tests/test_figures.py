"""Figures: what can be checked without an eye. Colours that read, marks that are well formed, errors."""

import itertools
import json
import re
from urllib.parse import unquote
from xml.etree import ElementTree

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from torch import nn

from gdl_utils.blueprint import Blueprint
from gdl_utils.domains import hexagonal_grid, square_grid
from gdl_utils.equivariance.audit import Audit, AuditRow
from gdl_utils.figures import (
    ROLES,
    Player,
    as_table,
    audit_chart,
    cayley_table,
    commuting_diagram,
    error_chart,
    molecule_marks,
    part_by_part,
    pixels,
    polygon,
    segment,
    show_hexagons,
    show_weights,
    text,
    weights_as_text,
)
from gdl_utils.groups import cyclic, dihedral, symmetric
from gdl_utils.layers import GlobalPool, LiftingConv
from gdl_utils.signals import SignalSpace


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def luminance(rgb):
    """Relative luminance as WCAG 2 defines it."""
    rgb = np.asarray(rgb)
    return float(
        np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]
    )


def contrast(a, b):
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


def turned_over(rgb):
    """What the site's dark mode makes of a figure's colour: invert(.93) hue-rotate(180deg)."""
    inverted = 0.93 - 0.86 * np.asarray(rgb)
    grey = np.array([0.213, 0.715, 0.072])
    return np.clip(2 * (grey @ inverted) - inverted, 0, 1)  # half a turn of hue: reflect at the grey axis


@pytest.mark.parametrize("role", ROLES)
def test_every_role_reads_on_paper_and_in_dark_mode(role):
    color = to_rgb(ROLES[role]["color"])
    assert contrast(color, (1, 1, 1)) >= 4.5
    assert contrast(turned_over(color), turned_over((1, 1, 1))) >= 4.5


def test_the_contrast_check_can_fail():
    assert contrast(to_rgb("#F0E442"), (1, 1, 1)) < 4.5  # yellow on white


def test_roles_differ_in_more_than_colour():
    for a, b in itertools.combinations(ROLES.values(), 2):
        assert a["color"] != b["color"] and (a["linestyle"], a["marker"]) != (b["linestyle"], b["marker"])
        assert a["marker"] != b["marker"]


def test_a_cayley_table_frames_what_does_not_commute():
    frames = lambda group: len([p for p in cayley_table(group).patches if not p.get_fill()])
    assert frames(cyclic(4)) == 0 and frames(dihedral(4)) == 24
    with pytest.raises(ValueError, match="S₅ has 120 elements"):
        cayley_table(symmetric(5))


def test_the_emblem_says_whether_the_two_ends_agree(rng):
    x = np.arange(9.0).reshape(3, 3)
    title = lambda fig: fig.axes[-1].get_title()
    assert "no difference" in title(commuting_diagram(x, x.T, x, x.T, x.T))
    assert "relative error" in title(commuting_diagram(x, x.T, x, x, x.T))


def test_the_error_chart_separates_exact_from_broken():
    ax = error_chart({"a": 0.0, "b": 1e-16}, {"c": 0.3}).axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b", "c"]
    assert [t.get_text() for t in ax.texts][:3] == ["0", "rounding", "0.3"]


def test_part_by_part_draws_each_output_and_moves_on_along_the_group_axis(rng):
    lift = LiftingConv(square_grid(3, cyclic(4)), 1, 1, padding=1, bias=False).double()
    model = Blueprint([lift], invariant_pooling=GlobalPool(2, group_axis=True))
    x = torch.rand(1, 1, 6, 6, generator=rng, dtype=torch.float64)
    fig = part_by_part(model, x, x.rot90(1, (2, 3)))
    grid = np.reshape(fig.axes, (2, 4))
    assert [ax.get_title() for ax in grid[0]] == [
        "signal",
        "equivariant",
        "nonlinearity",
        "invariant\npooling",
    ]
    drawn = [[np.asarray(ax.images[0].get_array()) for ax in row[:3]] for row in grid]
    for above, below in zip(*drawn, strict=True):
        assert np.allclose(np.rot90(above), below, atol=1e-12)
    heights = [row[3].patches[0].get_height() for row in grid]
    assert np.isclose(*heights) and heights[0] > 0
    plain = part_by_part(nn.Sequential(nn.Conv2d(1, 4, 3).double()), x, x.rot90(1, (2, 3)))
    one, other = (np.asarray(ax.images[0].get_array()) for ax in (plain.axes[1], plain.axes[3]))
    assert not np.allclose(np.rot90(one), other)  # the control: without the group it does not turn along


def test_the_audit_chart_marks_where_it_is_lost_and_nothing_where_it_is_not():
    row = lambda name, error: AuditRow(name, "Layer", (1, 4), "invariant", 4, error)
    good = Audit((row("a", 0.0), row("b", 1e-16)), "C₄", 1e-12)
    bad = Audit((row("a", 1e-16), row("b", 0.3), row("c", 0.2)), "C₄", 1e-12)
    axes = audit_chart({"good": good, "bad": bad}).axes
    assert [label.get_text() for label in axes[1].get_yticklabels()] == ["a", "b", "c"]
    assert [[t.get_text().strip() for t in ax.texts] for ax in axes] == [[], ["lost here"]]
    assert axes[1].texts[0].xy == (0.3, 1)


def test_the_audit_chart_says_when_fewer_elements_are_left_and_shares_equal_names():
    rows = lambda *counts: tuple(AuditRow(f"{k}", "", (1, 4), "", n, 0.0) for k, n in enumerate(counts))
    stride, none = Audit(rows(64, 16, 16), "Z", 1e-12), Audit(rows(64, 64, 64), "Z", 1e-12)
    axes = audit_chart({"a stride": stride, "none": none}).axes
    assert [[t.get_text().strip() for t in ax.texts] for ax in axes] == [["16 elements left"], []]
    assert [len([t for t in ax.get_yticklabels() if t.get_text()]) for ax in axes] == [3, 0]
    other = Audit(rows(64, 64), "Z", 1e-12)  # the control: not the same layers
    axes = audit_chart({"three": none, "two": other}).axes
    assert [len([t for t in ax.get_yticklabels() if t.get_text()]) for ax in axes] == [3, 2]


@pytest.mark.parametrize(
    ("count", "rows", "columns"), [(1, 1, 1), (2, 1, 2), (3, 1, 3), (4, 2, 2), (5, 3, 2)]
)
def test_the_audit_chart_has_few_panels_a_row(count, rows, columns):
    audits = {
        f"{k}": Audit((AuditRow(f"layer {k}", "Layer", (1, 4), "invariant", 4, 0.0),), "C₄", 1e-12)
        for k in range(count)
    }
    axes = audit_chart(audits).axes
    assert [ax.get_title() for ax in axes] == list(audits)
    grid = axes[0].get_gridspec()
    assert (grid.nrows, grid.ncols) == (rows, columns)


def player(**changes):
    parts = {
        "frames": [segment((0, 0), (x, 10), "signal") for x in (0, 10)],
        "values": ["0", "10"],
        "sentences": ["It <stands>.", "It leans."],
        "name": "lean",
        "alt": "A stick.",
        "size": (10, 10),
    }
    return Player(**(parts | changes))


def test_a_player_is_well_formed_and_says_its_value():
    html = player(start=1)._repr_html_()
    figure = ElementTree.fromstring(
        re.sub(r"<(style|script)\b.*?</\1>", "", html, flags=re.S).replace("disabled>", "/>")
    )
    assert figure.get("class") == "gdl-player" and figure.find("div/svg").get("aria-label") == "A stick."
    slider = figure.find("div/input")
    assert (slider.get("value"), slider.get("max"), slider.get("aria-valuetext")) == ("1", "1", "10")
    assert figure.find("div/label").get("for") == slider.get("id")
    assert figure.find("figcaption").text == "It leans."
    data = json.loads(
        re.search(r'<script type="application/json">(.*?)</script>', html, re.S)[1].replace("<\\/", "</")
    )
    assert data["sentences"][0] == "It <stands>." and len(data["frames"]) == 2


def test_a_player_is_the_same_on_every_run_and_differs_with_its_frames():
    assert player()._repr_html_() == player()._repr_html_()
    identity = lambda p: re.search(r'id="(gdl-player-\w+)"', p._repr_html_())[1]
    assert identity(player()) != identity(player(frames=[segment((0, 0), (x, 9), "signal") for x in (0, 10)]))
    assert "http" not in player()._repr_html_().replace("http://www.w3.org/2000/svg", "")


def test_a_players_image_for_untrusted_notebooks_is_its_starting_frame_in_colours_of_its_own():
    html = player(frames=[text((1, 2), "it's a < b"), text((3, 4), "c")])._repr_html_()
    image = re.search(r'</div><img alt="A stick." src="data:image/svg\+xml,([^"<>#&]*)"/>', html)
    drawing = ElementTree.fromstring(unquote(image[1]))
    words = drawing.findall("{http://www.w3.org/2000/svg}text")
    assert [w.text for w in words] == ["it's a < b"] and (drawing.get("width"), drawing.get("height")) == (
        "10",
        "10",
    )
    assert "var(" not in unquote(image[1]) and "#0072B2" in unquote(image[1])
    # It takes the drawing's place where styles are taken out, and not elsewhere.
    assert '<div hidden="hidden"><svg' in html
    assert "[hidden]{display:block!important}" in html and ".gdl-player>img{display:none}" in html


def test_marks_are_valid_svg_and_rounded():
    image = np.eye(3)
    for mark in (
        polygon([[(0, 0), (1.234, 0), (0, -0.01)]], "moved", dashed=True),
        polygon([np.eye(2), np.eye(2) + 3], "signal", filled=0.5),
        segment((0, 0), (1 / 3, 2), "error"),
        text((1, 2), "a < b"),
        f"<g>{pixels(image, (0, 0), 2)}</g>",
    ):
        ElementTree.fromstring(mark)
    assert "M0 0L1.2 0L0 0Z" in polygon([[(0, 0), (1.234, 0), (0, -0.01)]], "moved")
    assert pixels(np.zeros((3, 3)), (0, 0), 2) == ""
    assert pixels(image, (0, 0), 2).count("h2v2h-2Z") == 3


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: player(values=["0"]), "got 2, 1 and 2"),
        (lambda: player(frames=["x"], values=["0"], sentences=["s"]), "at least two frames"),
        (lambda: player(start=2), "there is no frame 2; give 0 to 1"),
        (lambda: player(alt=""), "give texts that are not empty"),
        (lambda: audit_chart({}), "audits: is empty"),
        (lambda: segment((0, 0), (1, 1), "blue"), "role: got 'blue'; the roles are ink, signal"),
        (lambda: as_table(["a", "b"], ["1", "2"], ["3"]), "rows: got 1 texts for the 2 columns"),
        (lambda: as_table(["a"], ["1"], ["2", "3"]), "rows: got 2 texts for the 1 columns"),
        (lambda: weights_as_text(torch.eye(64).view(64, 8, 8)), "has 64 maps, and there are 52 letters"),
        (lambda: weights_as_text(torch.ones(2, 3, 3)), "has 2 maps, and they span a space of 1 dim"),
        (lambda: weights_as_text(torch.eye(3)), r"got shape \(3, 3\)"),
        (lambda: weights_as_text(torch.eye(3)[None] * 1j), "is of torch.complex64; real numbers"),
        (lambda: weights_as_text(torch.full((1, 2, 2), torch.nan)), "entries that are not finite"),
    ],
)
def test_bad_input_is_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_a_table_has_a_line_for_each_row():
    assert (
        as_table(["a", "b"], ["1", "2"], ["3", "4"]).data == "| a | b |\n| --- | --- |\n| 1 | 2 |\n| 3 | 4 |"
    )


def test_hexagons_are_drawn_where_the_group_moves_them():
    space = SignalSpace(hexagonal_grid(5, cyclic(6)))
    signal = torch.zeros(5, 5)
    signal[2, 3] = 1  # one step to the right of the middle

    def angle(x):
        _, ax = plt.subplots()
        show_hexagons(ax, x)
        (drawn,) = ax.collections
        assert len(drawn.get_offsets()) == 19
        right, up = drawn.get_offsets()[int(np.argmax(drawn.get_array()))]
        return np.rad2deg(np.arctan2(up, right)) % 360

    turned = [angle(space.act(g, signal)) for g in range(6)]
    assert np.allclose(turned, [0, 60, 120, 180, 240, 300])  # counter-clockwise, as in the data


def test_tied_weights_are_read_off_any_basis_of_the_same_maps():
    turn = torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=torch.float64)
    basis = torch.stack([torch.eye(2, dtype=torch.float64), turn])
    mixed = torch.tensordot(torch.tensor([[0.3, -2.0], [1.7, 0.4]], dtype=torch.float64), basis, 1)
    for some in (basis, mixed, mixed.to_sparse(), 1e-12 * mixed, mixed.float(), mixed.half()):
        assert weights_as_text(some) == " a  b\n-b  a"
    thirds = torch.tensor([[[1.0, 0.0], [-1 / 3, 2.0]], [[0.0, 0.0], [1.0, 0.0]]])
    assert weights_as_text(thirds) == " a  .\n b 2a"
    sums = torch.tensor([[[1.0, 0.0, 0.5]], [[0.0, 1.0, -1.0]]])
    assert weights_as_text(sums) == "     a      b 0.5a-b"
    assert weights_as_text(torch.tensor([[[1.0, 2 / 3]]])) == "     a 0.667a"
    assert weights_as_text(torch.eye(52).view(52, 4, 13)).endswith("Y Z")
    single = torch.tensor([[[1.0, 0.0, 1.0 + 1e-6]], [[0.0, 1.0, 3e-6]]])
    assert weights_as_text(single) == "a b a"  # in single precision, rounding is no weight


def test_the_basis_that_is_read_stays_as_it_is():
    basis = torch.tensor([[[2.0, -4.0]], [[1.0, 3.0]]], dtype=torch.float64)
    before = basis.clone()
    weights_as_text(basis), show_weights(plt.subplots()[1], basis)
    assert torch.equal(basis, before)


def test_tied_weights_have_one_colour_and_a_line_where_they_are_negative():
    turn = torch.tensor([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    _, ax = plt.subplots()
    show_weights(ax, torch.stack([torch.diag(torch.tensor([1.0, 1, 0])), turn]), "turns")
    (image,) = ax.images
    colours = np.asarray(image.get_array())
    assert (colours[0, 0] == colours[1, 1]).all() and (colours[0, 1] == colours[1, 0]).all()
    assert (colours[0, 0] != colours[0, 1]).any() and (colours[2, 2] == 1).all()
    ((across, down),) = [line.get_data() for line in ax.lines]
    assert np.mean(across) == 0 and (np.asarray(down) == 1).all() and ax.get_title() == "turns"
    _, ax = plt.subplots()
    show_weights(ax, torch.tensor([[[1.0, 0.0, 0.5]], [[0.0, 1.0, -1.0]]]))
    show_weights(plt.subplots()[1], torch.empty(0, 2, 3))
    assert weights_as_text(torch.empty(0, 2, 3)) == ". . .\n. . ."
    meets = np.asarray(ax.images[0].get_array())[0, 2, :3]
    assert np.ptp(meets) < 0.2 and meets.max() < 1 and not ax.lines  # grey: no single weight, and no sign


def molecule(**changes):
    parts = {"elements": ["C", "O", "N"], "places": [[0, 0], [1, 0], [0, 2]], "shares": [1.0, -4.0, 0.0]}
    parts |= {"bonds": [(0, 1, 2), (0, 2, 1.5)], "size": (300, 200), "largest": 4.0}
    return molecule_marks(**parts | changes)


def test_a_molecule_shows_its_bonds_letters_and_shares():
    marks = molecule()
    assert marks.count("<line") == 4 and marks.count("stroke-dasharray") == 1
    assert re.findall(r">(\w+)</text>", marks) == ["O", "N"]  # carbons have no letter
    discs = re.findall(r'cx="([\d.]+)" cy="([\d.]+)" r="([\d.]+)" class="(\w+)"', marks)
    at, radius, roles = (
        [[float(x), float(y)] for x, y, *_ in discs],
        *zip(*(d[2:] for d in discs), strict=True),
    )
    assert roles == ("signal", "moved", "moved")
    assert float(radius[1]) == pytest.approx(2 * float(radius[0]), rel=0.02) and float(radius[2]) == 0
    assert at[2][1] < at[0][1] == at[1][1] and at[1][0] > at[0][0] == at[2][0]  # y upwards
    assert (np.array(at) >= 0).all() and (np.array(at) <= [300, 200]).all()
    assert molecule(bonds=[(0, 1, 3), (0, 2, 1)]).count("<line") == 4
    more = molecule(shares=[1.0, -9.0, 0.0])  # no disc is larger than the largest
    assert more == marks


def test_a_molecule_is_in_the_middle_within_a_margin_and_its_bonds_are_short():
    def at(**options):
        return np.array(
            re.findall(r'cx="([\d.]+)" cy="([\d.]+)" r="[\d.]+" class', molecule(**options)), float
        )

    small, large = at(size=(100, 90)), at(size=(3000, 2000))
    assert np.allclose([small.min(0), small.max(0)], [[44.5, 34], [55.5, 56]])
    assert np.allclose((large.min(0) + large.max(0)) / 2, [1500, 1000])
    assert np.linalg.norm(large[1:] - large[0], axis=1).mean() == pytest.approx(34, abs=0.1)


def test_of_the_bonds_only_an_aromatic_one_is_dashed():
    dashed = lambda order: molecule(bonds=[(0, 1, order)]).count("stroke-dasharray")
    assert [dashed(order) for order in (1, 1.5, 2, 3)] == [0, 1, 0, 0]


def test_a_single_atom_is_drawn_and_parts_that_do_not_fit_are_refused():
    assert molecule(elements=["O"], places=[[3, 3]], shares=[1.0], bonds=[]).count("<circle") == 2
    with pytest.raises(ValueError, match="elements, places, shares: got 2, 3 and 3"):
        molecule(elements=["C", "O"])
    with pytest.raises(ValueError, match="got 0, 0 and 0"):
        molecule(elements=[], places=[], shares=[], bonds=[])


@pytest.mark.parametrize("change", [{"values": [0, 1]}, {"sentences": ["", ""]}, {"alt": ""}])
def test_a_player_has_something_to_say(change):
    how = {"values": ["0", "1"], "sentences": ["a", "b"], "name": "x", "size": (9, 9), "alt": "Two frames."}
    how |= change
    with pytest.raises(ValueError, match="give texts that are not empty"):
        Player(["", ""], how.pop("values"), how.pop("sentences"), **how)
