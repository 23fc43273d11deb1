"""Verdicts follow from numbers, and a check that shows nothing is refused."""

import json

import pytest

from gdl_utils.claims import CLAIMS, MIME, check_claim


def test_the_46_claims_and_ours_are_there_once_each():
    assert sorted(CLAIMS) == [f"C{i:02}" for i in range(1, len(CLAIMS) + 1)]
    assert {id for id, claim in CLAIMS.items() if not claim.ours} == {f"C{i:02}" for i in range(1, 47)}
    assert len({claim.statement for claim in CLAIMS.values()}) == len(CLAIMS)
    assert all(claim.statement.endswith(".") and claim.chapter.isidentifier() for claim in CLAIMS.values())


@pytest.mark.parametrize(
    ("measured", "control", "kwargs", "verdict"),
    [
        (0.0, 1e-6, {"at_most": 1e-12}, "holds"),
        (1e-12, 0.5, {"at_most": 1e-12}, "holds"),
        (1e-13, 0.5, {"at_most": 1e-12, "condition": "it is small"}, "holds if it is small"),
        (0.22, 1e-15, {"at_most": 1e-12, "condition": "it is large"}, "fails when it is large"),
        (0.5, 0.0, {"at_least": 0.375, "control_at_most": 0}, "holds"),
        (0.0, 0.5, {"at_least": 0.375, "control_at_most": 0, "condition": "abelian"}, "fails when abelian"),
        (0.1, 0.9, {"at_most": 0.2, "control_at_least": 0.8}, "holds"),
    ],
)
def test_the_verdict_follows_from_the_numbers(measured, control, kwargs, verdict):
    found = check_claim("C04", measured={"m": measured}, control={"c": control}, **kwargs)
    assert found.verdict == verdict
    assert verdict.startswith(found.kind)


@pytest.mark.parametrize(
    ("measured", "control"),
    [
        ({"m": 0.0}, {"c": 0.0}),  # the control passes too: nothing is shown
        ({"m": 0.0}, {"c": 1e-7}),  # the control fails, but not by a factor of a million
        ({"m": 0.1}, {"c": 0.1}),  # both fail
        ({"m": 1e-11}, {"c": 0.1}),  # neither exact nor clearly broken
        ({"m": 0.0, "n": 0.1}, {"c": 0.1}),  # one of two fails
        ({"m": 0.0}, {"c": 0.1, "d": 0.0}),  # one of two controls passes
        ({"m": 0.1, "n": 0.0}, {"c": 0.0}),
    ],
)
def test_a_check_that_shows_nothing_is_refused(measured, control):
    with pytest.raises(AssertionError, match="C04: nothing is shown"):
        check_claim("C04", measured=measured, control=control, at_most=1e-12, condition="so")


def test_rounding_is_not_printed_and_larger_values_are():
    found = check_claim("C04", measured={"m": 3.1e-16}, control={"c": 0.76349}, at_most=1e-12)
    assert found.measured == {"m": "≤ 1e-12"} and found.control == {"c": "0.763"}
    assert "3.1e-16" not in json.dumps(found._repr_mimebundle_())
    control = {"rounding": 2.2e-16, "nothing": 0.0, "little": 1e-11}
    found = check_claim("C04", measured={"m": 0.5}, control=control, at_least=0.5, control_at_most=0.1)
    assert found.control == {"rounding": "≤ 1e-12", "nothing": "0", "little": "1e-11"}


@pytest.mark.parametrize("digits", [1, 2, 3])
def test_the_numbers_are_judged_as_they_are_and_shown_rounded(digits):
    check = lambda value: check_claim(
        *("C04",), measured={"m": value}, control={"c": 0.2}, at_least=0.5, control_at_most=0.2, digits=digits
    )
    assert check(0.50049).measured == {"m": {1: "0.5", 2: "0.5", 3: "0.5"}[digits]}
    assert check(0.7654).measured == {"m": {1: "0.8", 2: "0.77", 3: "0.765"}[digits]}
    with pytest.raises(AssertionError, match="nothing is shown"):
        check(0.4999)  # rounded it would pass


def test_the_bundle_has_what_the_claims_page_needs():
    found = check_claim("C06", measured={"a < b": 0.0}, control={"c": 1.0}, at_most=1e-12)
    bundle = found._repr_mimebundle_()
    assert set(bundle) == {MIME, "text/html", "text/plain"}
    assert {"id", "statement", "verdict", "kind", "criterion", "measured", "control"} <= set(bundle[MIME])
    assert 'id="claim-C06"' in bundle["text/html"] and "a &lt; b" in bundle["text/html"]
    json.dumps(bundle[MIME])


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"id": "C99"}, "there is no claim 'C99'"),
        ({"measured": {}}, "measured: is empty"),
        ({"control": {}}, "control: is empty"),
        ({"control": {"c": float("nan")}}, "not finite"),
        ({"at_most": None}, "give one of the two"),
        ({"at_least": 1.0}, "give one of the two"),
        ({"control_at_least": 1e-13}, "control_at_least, control_at_most: got 1e-13 and None"),
        ({"control_at_most": 0.0}, "control_at_least, control_at_most: got None and 0.0"),
        ({"at_most": None, "at_least": 0.5}, "control_at_most: got None and None"),
        ({"at_most": None, "at_least": 0.5, "control_at_most": 0.6}, "control_at_most: got None and 0.6"),
        ({"at_most": None, "at_least": 0.5, "control_at_least": 0.1}, "control_at_most: got 0.1 and None"),
        ({"digits": 0}, "digits: got 0"),
        ({"measured": {"m": 1.0}, "control": {"c": 0.0}}, "say when"),
    ],
)
def test_bad_input_is_named(kwargs, words):
    good = {"id": "C04", "measured": {"m": 0.0}, "control": {"c": 1.0}, "at_most": 1e-12}
    with pytest.raises(ValueError, match=words):
        check_claim(**(good | kwargs))
