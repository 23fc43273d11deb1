"""The experiment on the game: what is a set, what keeps sets sets, arms of the sizes that are said, and a run from start to end."""

import json
import sys
from itertools import combinations

import numpy as np
import pytest
import third_card as game
import torch

from gdl_utils.equivariance import relative_error
from gdl_utils.intertwiners import basis_of_orbits

CARDS = game.deck(3)


def test_a_set_is_all_alike_or_all_different_in_each_attribute():
    triples = np.array(list(combinations(range(27), 3)))
    literal = [all(len(set(values)) in (1, 3) for values in CARDS[t].T) for t in triples]
    assert game.is_set(CARDS[triples]).tolist() == literal and sum(literal) == 117


@pytest.mark.parametrize("attributes", [2, 3, 4])
def test_the_generators_keep_sets_and_another_order_does_not(attributes):
    cards, random = game.deck(attributes), np.random.default_rng(0)
    triples = np.array([random.choice(len(cards), 3, replace=False) for _ in range(3000)])
    third = (-cards[triples[:, :2]].sum(1)) % 3 @ 3 ** np.arange(attributes)[::-1]
    triples[::2, 2] = third[::2]  # half of them sets
    before = game.is_set(cards[triples])
    for move in [*game.generators(attributes), *game.random_maps(5, attributes).numpy()]:
        assert sorted(move) == list(range(len(cards)))
        assert (game.is_set(cards[move[triples]]) == before).all()
    assert (game.is_set(cards[random.permutation(len(cards))[triples]]) != before).mean() > 0.3


def test_the_solver_finds_the_third_card():
    moves = game.generators(3)
    found = basis_of_orbits(game.on_pairs(moves), moves).numpy()
    assert sorted(found.sum((1, 2)) / 351) == [1, 2, 24]
    third = found[found.sum((1, 2)) == 351][0].argmax(0)
    pairs = np.array(list(combinations(range(27), 2)))
    assert game.is_set(CARDS[np.column_stack([pairs, third])]).all()
    wrong = game.shuffled(moves)
    other = basis_of_orbits(game.on_pairs(wrong), wrong).numpy()
    third = other[other.sum((1, 2)) == 351][0].argmax(0)
    assert game.is_set(CARDS[np.column_stack([pairs, third])]).mean() < 0.2


def test_tables_are_half_and_half_and_right():
    x, y = game.tables(60, 0)
    assert x.shape == (60, 27) and (x.sum(1) == 7).all() and y.sum() == 30
    for table, answer in zip(x, y, strict=True):
        on_it = table.nonzero().flatten().numpy()
        sets = [game.is_set(CARDS[list(t)]) for t in combinations(on_it, 3)]
        assert any(sets) == bool(answer)
    assert not torch.equal(x, game.tables(60, 1)[0])
    for cards in (2, 10):
        with pytest.raises(ValueError, match=f"cards: got {cards}; of more than 9 some make a set"):
            game.tables(2, 0, cards=cards)


def test_arms_are_of_the_sizes_that_are_said_and_invariant_or_not():
    x = game.tables(20, 0)[0].double()
    move = game.random_maps(1, 3)[0]
    weights, exact = {}, set()
    for name, make in game.ARMS.items():
        torch.manual_seed(0)
        model = make(3).double()
        weights[name] = sum(p.numel() for p in model.parameters())
        if relative_error(model(x[:, move]), model(x)) <= 1e-12:  # in training, normalised by the batch
            exact.add(name)
    assert exact == {"derived"}
    assert weights["derived"] == weights["wrong group"] == 302 and weights["shifts only"] == 15_968
    assert {weights[name] for name in ("plain", "augmented", "averaged")} == {754}
    large = ("plain, large", "augmented, large", "augmented, large, as long", "averaged, large")
    assert {weights[name] for name in large} == {73_474}
    assert sum(p.numel() for p in game.Derived(game.generators(4)).parameters()) == 302


def test_tables_are_moved_by_all_maps_that_keep_sets():
    torch.manual_seed(0)
    maps = game.random_maps(20_000, 2)
    assert len(maps.unique(dim=0)) == 432 and maps.unique(dim=0, return_counts=True)[1].max() < 90
    x, y = game.tables(200, 3)
    there = game.moved(x)
    assert (there.sum(1) == 7).all() and (there != x).any(1).all()
    triples = np.array(list(combinations(range(7), 3)))
    cards = CARDS[there.nonzero()[:, 1].view(200, 7).numpy()]
    assert game.is_set(cards[:, triples]).any(1).tolist() == y.bool().tolist()
    assert (
        game.moved(x[:1].repeat(4000, 1)).mean(0).std() < 0.02
    )  # a card goes anywhere, each place as likely


def test_a_drawn_card_has_as_many_shapes_as_it_says():
    for card in CARDS:
        marks = game.card_marks(card, (0, 0), "signal")
        assert marks.count("<path") == 2 + card[0]


@pytest.mark.parametrize("whole", [False, True])
def test_it_runs_from_start_to_end_and_only_once(whole, tmp_path, monkeypatch, capsys):
    small = {
        "RATES": (0.01, 0.03),
        "SMALL": game.Game(2, 4, (40, 20)),
        "WHOLE": game.Game(3, 7, (20,)),
        "STEPS": 2,
        "TEST": 40,
        "AS_LONG": 2,
    }
    for name, value in small.items():
        monkeypatch.setattr(game, name, value)
    arms = ["derived", "averaged, large", "augmented, large", "augmented, large, as long"]
    for options in ([], ["--whole"])[: 1 + whole]:
        argv = [
            "third_card.py",
            "--arms",
            *arms,
            "--seeds",
            "1",
            "--out",
            str(tmp_path / "out.json"),
            *options,
        ]
        monkeypatch.setattr(sys, "argv", argv)
        game.main(), game.main()
        assert capsys.readouterr().out.count("all done") == 2
    records = json.loads((tmp_path / "out.json").read_text())["records"]
    counted = [(r["attributes"], r["examples"], r["arm"]) for r in records if r["seed"] == 0]
    expected = [(2, n, arm) for n in (40, 20) for arm in arms[:3]] + whole * [(3, 20, arm) for arm in arms]
    assert counted == expected
    assert all("right" in r or "watched" in r for r in records)


def test_what_is_committed_is_complete():
    records = json.loads(game.Path(game.__file__).with_suffix(".json").read_text(encoding="utf-8"))["records"]
    for played in (game.SMALL, game.WHOLE):
        arms = [arm for arm in game.ARMS if not arm.endswith("as long")]
        for arm in game.IN_THE_WHOLE if played is game.WHOLE else arms:
            rows = [r for r in records if (r["attributes"], r["arm"]) == (played.attributes, arm)]
            rows = [r for r in rows if r["seed"] != game.TUNING]
            assert sorted((r["examples"], r["seed"]) for r in rows) == [
                (n, s) for n in played.examples for s in range(5)
            ]
            of = game.SMALL if arm == "derived" else played
            assert {r["learning_rate"] for r in rows} == {game.best_rate(records, of, arm)}
