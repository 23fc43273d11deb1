"""The page on exactness: measured again, compared, and held against the rules that it states."""

import re

import exactness
import numpy as np
import pytest

from gdl_utils.domains import square_grid
from gdl_utils.groups import dihedral
from gdl_utils.layers import GroupBatchNorm
from gdl_utils.signals import SignalSpace, regular


@pytest.fixture(scope="module")
def measured():
    return exactness.table()


def test_the_page_shows_what_is_measured(measured):
    assert exactness.committed(exactness.PAGE.read_text(encoding="utf-8")) == measured, "run: make notebooks"


def broken_rules(table):
    """Rows that contradict the rules in words."""
    faults = []
    for row in table.splitlines()[2:]:
        group, layer, size, kernel, padding, stride, turns, shifts = (
            cell.strip() for cell in row.strip("|").split("|")
        )
        if kernel == "—":
            keeps_neither, keeps_turns = ("Dropout", "ConvTranspose"), ("Upsample bilinear",)
            expected = (
                not layer.startswith(keeps_neither),
                not layer.startswith((*keeps_neither, *keeps_turns)),
            )
            faults += [row] * ((turns == "exact", shifts == "exact") != expected)
            continue
        size, kernel, stride, pad = int(size), int(kernel), int(stride), int(re.match(r"\d+", padding)[0])
        step = stride * (2 if group.startswith("p6") and stride > 1 else 1)
        rest = (size + 2 * pad - kernel) % step
        faults += [row] * ((turns == "exact") != (rest == 0 or layer.startswith("averaged")))
        if shifts == "—":
            continue
        wraps = (pad == 0 and kernel == stride) or "circular" in padding
        same = (size + 2 * pad - kernel) // stride + 1 == size / stride
        faults += [row] * ((shifts == "exact") != (wraps and same))
    return faults


def test_the_rules_in_words_hold_on_every_row(measured):
    assert broken_rules(measured) == []
    assert len(measured.splitlines()) > 40


@pytest.mark.parametrize(("old", "new"), [("| exact |", "| **1** |"), ("**1**", "exact")])
def test_a_row_against_the_rules_is_seen(measured, old, new):
    assert broken_rules(
        measured.replace(old, new, 1) if old in measured else measured + "|p4|x|28|3|1|2|exact|exact|"
    )


def test_a_fibre_that_is_not_the_layers_is_seen():
    group = dihedral(4)
    grid, layer = square_grid(8, group), GroupBatchNorm(2).double()
    space, still = SignalSpace(grid, regular(group)), SignalSpace(grid, [np.eye(8)] * 2)
    turns, shifts = exactness.largest_errors(layer, space, still, 1, shifts=True)
    assert turns > 0.1 and shifts <= 1e-12
    assert exactness.largest_errors(layer, space, space, 1, shifts=True)[0] <= 1e-12  # the control
