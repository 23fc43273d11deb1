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
    for move in [*game.generators(attributes), game.random_map(attributes, random)]:
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


def test_arms_are_of_the_sizes_that_are_said_and_invariant_or_not():
    x = game.tables(20, 0)[0].double()
    move = torch.from_numpy(game.random_map(3, np.random.default_rng(5)))
    weights, exact = {}, set()
    for name, make in game.ARMS.items():
        torch.manual_seed(0)
        model = make().double()
        weights[name] = sum(p.numel() for p in model.parameters())
        if relative_error(model(x[:, move]), model(x)) <= 1e-12:  # in training, normalised by the batch
            exact.add(name)
    assert exact == {"derived", "all orders"}
    assert weights["derived"] == weights["wrong group"] == 302 < weights["plain"] == 754
    assert weights["shifts only"] == 15_968 and weights["plain, large"] == weights["averaged"] == 6_082


def test_a_drawn_card_has_as_many_shapes_as_it_says():
    for card in CARDS:
        marks = game.card_marks(card, (0, 0), "signal")
        assert marks.count("<path") == 2 + card[0]


def test_it_runs_from_start_to_end_and_only_once(tmp_path, monkeypatch, capsys):
    small = {"RATES": (0.01, 0.03), "EXAMPLES": (50,), "STEPS": 2, "TEST": 40}
    for name, value in small.items():
        monkeypatch.setattr(game, name, value)
    game.test_tables.cache_clear()
    options = ["--arms", "derived", "averaged", "--seeds", "1", "--out", str(tmp_path / "out.json")]
    monkeypatch.setattr(sys, "argv", ["third_card.py", *options])
    monkeypatch.setattr(game, "TUNING", {"examples": 50, "seed": 100})
    game.main(), game.main()
    game.test_tables.cache_clear()
    assert capsys.readouterr().out.count("all done") == 2
    records = json.loads((tmp_path / "out.json").read_text())["records"]
    assert [(r["arm"], r["seed"]) for r in records[4:]] == [("derived", 0), ("averaged", 0)]
    assert all("right" in r or "watched" in r for r in records)


def test_what_is_committed_is_complete():
    records = json.loads(game.Path(game.__file__).with_suffix(".json").read_text(encoding="utf-8"))["records"]
    for arm in game.ARMS:
        rows = [r for r in records if r["arm"] == arm and r["seed"] < 100]
        assert sorted((r["examples"], r["seed"]) for r in rows) == [
            (n, s) for n in game.EXAMPLES for s in range(5)
        ]
        assert {r["learning_rate"] for r in rows} == {game.best_rate(records, arm)}
