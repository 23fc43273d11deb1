"""The experiment on the rabbit's parts: equal arms, what each may see, and a run from start to end."""

import json
import sys

import hopping_rabbit as lab
import numpy as np
import pytest
import torch

from gdl_utils.data import rabbit, rabbit_pose
from gdl_utils.equivariance import relative_error


@pytest.fixture(scope="module")
def one():
    mesh, parts = rabbit(500)
    return mesh.moved(rabbit_pose(mesh.vertices, ears=40, neck=20)), parts


def test_arms_have_as_many_weights():
    counts = [sum(p.numel() for p in make().parameters()) for make in lab.ARMS.values()]
    assert max(counts) < 1.085 * min(counts)  # each within 4.2 % of the middle


def test_who_minds_a_turn_in_space(one):
    mesh, parts = one
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))[0]
    turn *= np.linalg.det(turn)
    here, there = lab.posed(*one), lab.posed(mesh.moved(mesh.vertices @ turn.T), parts)
    minds = set()
    for name, make in lab.ARMS.items():
        torch.manual_seed(0)
        model = make().eval()
        if relative_error(model(there), model(here)) > 1e-3:
            minds.add(name)
    assert minds == {"coordinates", "coordinates, turned", "diffusion, coordinates"}


def test_a_turn_in_training_is_one():
    torch.manual_seed(0)
    frame = lab.turned(torch.eye(3))
    assert torch.allclose(frame @ frame.T, torch.eye(3), atol=1e-6)
    assert float(torch.linalg.det(frame)) == pytest.approx(1, abs=1e-5)
    model = lab.ARMS["coordinates, turned"]()
    some = lab.posed(*rabbit(500))
    assert torch.equal(model.eval()(some), model(some))
    assert not torch.equal(model.train()(some), model(some))


@pytest.mark.parametrize("share", [0.01, 0.02])
def test_holes_are_holes(one, share):
    mesh, parts = one
    left, theirs = lab.with_holes(mesh, parts, share, np.random.default_rng(0))
    assert 1 - 5 * share - 0.01 < left.areas.sum() / mesh.areas.sum() < 1 - 3 * share
    assert left.on_boundary.any() and not left.components.any()
    at = {tuple(v): p for v, p in zip(mesh.vertices, parts, strict=True)}
    assert [at[tuple(v)] for v in left.vertices] == theirs.tolist()


def test_free_coefficients_are_a_factor_for_each_wave(one):
    some = lab.posed(*one)
    torch.manual_seed(0)
    layer, x = lab.FreeCoefficients(2), torch.randn(500, 2)
    slow = torch.zeros(500, 2)
    for k in range(lab.WAVES):
        wave = some.surface.waves[:, k]
        slow += wave[:, None] * layer.factors[k] * ((some.surface.areas * wave) @ x)
    assert relative_error(layer(x, some.surface), slow) < 1e-4


def test_it_runs_from_start_to_end_and_only_once(tmp_path, monkeypatch, capsys):
    small = {"RATES": (0.01, 0.03), "EPOCHS": 1, "POSES": 2, "WAVES": 12}
    for name, value in small.items():
        monkeypatch.setattr(lab, name, value)
    lab.data.cache_clear()
    options = ["--arms", "heat signature", "diffusion", "--seeds", "1", "--out", str(tmp_path / "out.json")]
    monkeypatch.setattr(sys, "argv", ["hopping_rabbit.py", *options])
    lab.main(), lab.main()
    lab.data.cache_clear()
    assert capsys.readouterr().out.count("all done") == 2
    records = json.loads((tmp_path / "out.json").read_text())["records"]
    assert [(r["arm"], r["seed"], r["epochs"]) for r in records[4:]] == [
        ("heat signature", 0, 1), ("diffusion", 0, 1), ("heat signature", 0, 2), ("diffusion", 0, 2),
    ]  # fmt: skip
    for record in records:
        assert all(0 <= record[test] <= 1 for test in lab.TESTS)


def test_what_is_committed_is_complete():
    records = json.loads(lab.Path(lab.__file__).with_suffix(".json").read_text(encoding="utf-8"))["records"]
    for arm in lab.ARMS:
        rate = lab.best_rate(records, arm)
        rows = [r for r in records if r["arm"] == arm and r["seed"] < 100]
        wanted = [(0, 400), *((s, 200) for s in range(5))]
        wanted += [(s, 800) for s in range(5)] * (arm == "diffusion, coordinates")
        assert sorted((r["seed"], r["epochs"]) for r in rows) == sorted(wanted)
        assert {r["learning_rate"] for r in rows} == {rate}
