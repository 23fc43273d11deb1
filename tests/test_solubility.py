"""Solubility: molecules become graphs, splits keep together what belongs together, networks see what they should, a run from start to end."""

import json
import sys
from collections import Counter
from itertools import product

import numpy as np
import pytest
import solubility
import torch
from rdkit import Chem
from solubility import NETWORKS, Network

HEADER = "smiles,measured log solubility in mols per litre"
SMILES = [
    *("C", "CC", "CCO", "OCC", "CC(=O)[O-]", "C#N", "c1ccccc1", "Cc1ccccc1", "Oc1ccccc1", "c1ccc2ccccc2c1"),
    *("Clc1ccc2ccccc2c1", "C1CCCCC1", "OC1CCCCC1", "C1CC1", "CC1CC1", "N[C@@H](C)C(=O)O", "[Si](C)(C)C"),
    *("C" * n + end for n in range(3, 14) for end in ("", "O", "=O", "Cl")),
]  # fmt: skip


def measured(smiles):
    return 1.0 * smiles.count("O") - 0.3 * len(smiles) - 0.5 * smiles.count("=")


@pytest.fixture
def file(tmp_path, monkeypatch):
    """Write molecules, and name them."""

    def write(smiles=SMILES, name="esol.csv"):
        path = tmp_path / name
        path.write_text("\n".join([HEADER, *(f"{s},{measured(s)}" for s in smiles)]) + "\n")
        monkeypatch.setenv("GDL_ESOL", str(path))
        forget()
        return path

    yield write
    forget()


def forget():
    solubility.prepared.cache_clear(), solubility.keys.cache_clear()


def made(*smiles):
    return solubility.graphs(solubility.known(list(smiles)))[0]


def network(arm, seed=0):
    torch.manual_seed(seed)
    return Network(arm, -3.0, 2.0).double()


def answer(model, data):
    return solubility.answers(model, data.double())


def test_a_molecule_is_read_as_a_chemist_would():
    data = made("CCO", "c1ccccc1", "C", "CC(=O)[O-]", "C[Si]")
    elements = lambda row: [solubility.ELEMENTS[k] for k in data.atoms[row, :, :9].nonzero()[:, 1]]
    assert elements(0) == ["C", "C", "O"] and elements(2) == ["C"] and elements(4) == ["C"]
    assert data.atoms[4, :2, 9].tolist() == [0, 1]  # silicon is another element
    degree, charge, hydrogens, aromatic, ring = data.atoms[..., 10:].unbind(-1)
    assert degree[0, :3].tolist() == [1, 2, 1] and hydrogens[0, :3].tolist() == [3, 2, 1]
    assert aromatic[1].tolist() == ring[1].tolist() == [1] * 6 and not aromatic[0].any() and not ring[0].any()
    assert charge[3].tolist() == [0, 0, 0, -1, 0, 0] and hydrogens[2, 0] == 4
    assert data.there.sum(1).tolist() == [3, 6, 1, 4, 2]
    assert data.ends[0, :4].tolist() == [[0, 1], [1, 2], [1, 0], [2, 1]] and (data.ends[0, 4:] == -1).all()
    assert (data.ends[2] == -1).all() and not data.kinds[2].any()  # methane has no bonds
    assert data.kinds[1].tolist() == [[0, 0, 0, 1, 1, 1]] * 12
    assert data.kinds[3, :3, :4].argmax(1).tolist() == [0, 1, 0]
    apart = torch.pdist(data.places[1].double())
    assert torch.allclose(
        apart.sort()[0][:6], torch.tensor(1.4).double(), atol=0.05
    )  # Å, about benzene's ring


def test_what_is_not_read_is_refused_with_its_row(file):
    for smiles in ("C1CC", "xyz", "C(C)(C)(C)(C)C"):
        file(["C", smiles, "CC"])
        with pytest.raises(SystemExit, match="row 2 below the header: RDKit reads no molecule in"):
            solubility.prepared()


def test_what_has_no_conformer_is_drawn_and_counted(monkeypatch):
    molecules = solubility.known(["CCO", "c1ccccc1"])
    data, flat = solubility.graphs(molecules)
    assert flat == 0 and data.places[1, :, 2].abs().max() > 0.01
    monkeypatch.setattr(solubility.AllChem, "EmbedMolecule", lambda *_: -1)
    data, flat = solubility.graphs(molecules)
    assert flat == 2 and not data.places[..., 2].any() and torch.pdist(data.places[1]).min() > 1


def test_the_same_seed_places_the_same_conformer():
    assert torch.equal(made("CCCCO").places, made("CCCCO").places)


def test_splits_keep_together_what_belongs_together(file):
    file()
    for split in solubility.SPLITS:
        keys = solubility.keys(split)
        rows = solubility.parted(keys, seed=0)
        assert sorted(torch.cat(rows).tolist()) == list(range(len(SMILES)))
        sides = [{keys[k] for k in part} for part in rows]
        assert sum(map(len, sides)) == len(set(keys)) and all(map(len, rows))
        assert max(len(rows[1]), len(rows[2])) <= len(SMILES) // 10
        large = {key for key, n in Counter(keys).items() if 2 * n > len(SMILES) // 10}
        assert not large & (sides[1] | sides[2])
    assert solubility.keys("random")[2] == solubility.keys("random")[3]  # CCO and OCC
    assert (
        len({tuple(solubility.parted(solubility.keys("random"), seed)[2].tolist()) for seed in range(5)}) == 5
    )
    assert (
        solubility.parts("random", 0, 7)["taught"].tolist()
        == solubility.parted(solubility.keys("random"), 0)[0][:7].tolist()
    )
    keys = [str(k // 9) for k in range(90)]  # groups of a tenth are too large for the other parts
    assert [len(part) for part in solubility.parted(keys, 0)] == [90, 0, 0]
    assert [len(part) for part in solubility.parted([str(k) for k in range(90)], 0)] == [72, 9, 9]


def test_mirror_images_are_copies():
    one, other = solubility.known(["N[C@@H](C)C(=O)O", "N[C@H](C)C(=O)O"])
    assert Chem.MolToSmiles(one) != Chem.MolToSmiles(other)
    assert solubility.without_stereo(one) == solubility.without_stereo(other)


def test_the_best_rate_is_that_of_the_tuning_alone():
    def record(seed, rate, watched, test):
        errors = {"watched": watched, "test": test}
        return {"arm": "bonds", "split": "random", "seed": seed, "learning_rate": rate, "rmse": errors}

    records = [record(100, 0.1, 0.5, 0.1), record(100, 0.2, 0.4, 0.9), record(0, 0.1, 0.3, 0.3)]
    assert solubility.best_rate(records, "bonds", "random") == 0.2


def test_wrong_bonds_are_as_many_and_as_kind_but_elsewhere():
    molecules = solubility.known(["CCCCCO", "c1ccc2ccccc2c1O", "C"])
    data, _ = solubility.graphs(molecules)
    wrong = solubility.rewired(molecules, data)
    assert torch.equal(wrong.ends, solubility.rewired(molecules, data).ends)
    assert torch.equal(wrong.kinds, data.kinds) and torch.equal(wrong.atoms, data.atoms)
    for row in range(3):
        degrees = [sorted(Counter(d.ends[row][:, 0].tolist()).values()) for d in (data, wrong)]
        assert degrees[0] == degrees[1] and ((wrong.ends[row] < 0) == (data.ends[row] < 0)).all()
        assert (row == 2) == torch.equal(wrong.ends[row], data.ends[row])
    assert torch.equal(wrong.ends[0, :5].flip(1), wrong.ends[0, 5:10])  # each in both directions
    alone = solubility.rewired(molecules[1:2], solubility.graphs(molecules[1:2])[0])
    assert torch.equal(alone.ends[0], wrong.ends[1])  # whatever row it is in


def test_layers_are_those_of_the_formula():
    data = made("CC(=O)Oc1ccccc1", "C").double()
    for arm in ("atoms alone", "bonds", "bonds of kinds"):
        model = network(arm)
        h = model.start(data.atoms[0])
        for layer in model.layers:
            heard = h.clone()
            for (j, i), kind in zip(data.ends[0].tolist(), data.kinds[0], strict=True):
                if arm != "atoms alone":
                    heard[i] += (h[j] + (layer.kind.weight @ kind if arm == "bonds of kinds" else 0)).clamp(
                        min=0
                    )
            h = h + layer.update(heard)
        shares = 2 * model.share(h)[:, 0]
        torch.testing.assert_close(model.shares(data)[0], shares, rtol=0, atol=1e-12)
        whole = -3 + 2 * model.bias + shares.sum()
        torch.testing.assert_close(model(data)[0], whole, rtol=0, atol=1e-12)


@pytest.mark.parametrize("arm", NETWORKS)
def test_networks_see_no_order_of_atoms_no_turn_and_no_padding(arm):
    data, model = made(*SMILES[:17]), network(arm)
    still, far = answer(model, data), 1e-3
    changes = solubility.moved(model, data)
    assert changes["renumbered"] < 1e-12 and changes["turned"] < 1e-12
    assert (changes["atoms renumbered, bonds not"] > far) == ("bonds" in arm)
    assert (changes["stretched"] > far) == (arm == "conformers")
    other = solubility.renumbered(data.double())
    assert not torch.equal(other.atoms, data.atoms.double())
    one, two = (model.shares(d).sort(1)[0] for d in (data.double(), other))  # shares move along
    torch.testing.assert_close(one, two, rtol=0, atol=1e-12)
    alone = [answer(model, data.some(torch.tensor([k])))[0] for k in range(17)]
    assert np.abs(alone - still).max() < 1e-12
    assert not model.shares(data.double())[~data.there].any() and np.isfinite(still[0])  # methane's


def test_arms_have_equally_many_parameters():
    sizes = [sum(p.numel() for p in Network(arm).parameters()) for arm in NETWORKS]
    assert max(sizes) < 1.05 * min(sizes) and max(sizes) < 60_000


def test_numbers_of_readers_without_a_network():
    benzene, ethanol = solubility.known(["c1ccccc1", "CCO"])
    assert solubility.counted_atoms(ethanol) == [2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 6]
    assert solubility.descriptors(benzene)[1:] == [pytest.approx(78.114, abs=1e-3), 0, 1]
    assert solubility.descriptors(ethanol)[3] == 0 < solubility.descriptors(benzene)[0]
    prints = solubility.fingerprints([benzene, ethanol])
    (hexane,) = solubility.known(["CCCCCC"])
    assert solubility.descriptors(hexane)[2] == 3
    assert (prints[0] > 0).sum() == 3  # benzene's atom alone, with its neighbours, and with theirs
    (_, _), (whether, _) = solubility.candidates("fingerprint")
    assert whether([benzene, ethanol]).max() == 1
    assert prints.shape == (2, 2048) and prints.max() == 6 and (prints[1] > 0).sum() >= 3


def test_few_molecules_are_seen_more_often_so_that_steps_are_as_many(file):
    file()
    seen = {}
    for n in (8, "all"):
        train = lambda model, loss, tensors, n=n, **_: (seen.update({n: tensors[0].tolist()}), None)
        model, *_ = solubility.learn(train, "atoms alone", "random", n, seed=0, epochs=1, learning_rate=0.01)
        y = solubility.prepared().y[sorted(set(seen[n]))]  # in whose units it answers
        assert model.mean.item() == pytest.approx(y.mean().item())
        assert model.scale.item() == pytest.approx(y.std().item())
    assert len(seen[8]) == len(seen["all"]) and len(set(seen[8])) == 8 < len(set(seen["all"]))


def test_of_penalties_the_largest_counts_of_those_that_do_best_on_what_is_watched(file, monkeypatch):
    file()
    chosen = lambda seed: solubility.without_network("counted atoms", "random", "all", seed)[1]["alpha"]
    assert chosen(0) == 10  # 0.27; with 0.001, which is best on what is taught, 1.08
    monkeypatch.setattr(solubility, "ALPHAS", [1e-9, 1e-8, 1.0])
    assert chosen(3) == 1e-8  # as good as 1e-9


def test_the_mean_of_the_answers_of_all_seeds_is_judged(file, capsys):
    path = file()
    solubility.evaluate(path, "counted atoms", "random", 3, None, None)
    _, molecules, y, *_ = solubility.prepared()
    found = [
        solubility.without_network("counted atoms", "random", "all", seed)[0](molecules) for seed in range(3)
    ]
    mean, first = solubility.rmse(np.mean(found, axis=0), y), solubility.rmse(found[0], y)
    assert mean != first and f"of the mean of 3: {mean:.3f}" in capsys.readouterr().out


def test_it_runs_from_start_to_end_and_only_once(file, tmp_path, monkeypatch, capsys):
    file()
    settings = {
        "EPOCHS": 3,
        "RATES": (0.002, 0.01),
        "SIZES": (8,),
        "FEWER_SEEDS": 1,
        "ALPHAS": [1e-3, 1.0],
    }
    for name, value in settings.items():
        monkeypatch.setattr(solubility, name, value)
    out = tmp_path / "out.json"
    arms = [*solubility.BASELINES, "atoms alone", "bonds of kinds", "conformers"]
    call = lambda *options: (
        monkeypatch.setattr(sys, "argv", ["solubility.py", "--out", str(out), *options]),
        solubility.main(),
    )
    call("--seeds", "1", "--arms", *arms), call("--seeds", "1", "--arms", *arms)
    assert capsys.readouterr().out.count("all done") == 2
    records = json.loads(out.read_text())["records"]
    assert len(records) == 1 + (4 * 2 + 3) + 2 * 2 * 2 + 2 * 2 + 1 + 2 + (2 + 1)
    error = lambda arm, part: next(
        r["rmse"][part] for r in records if r["arm"] == arm and r["split"] == "random"
    )
    assert error("counted atoms", "taught") < 0.5 * error("mean", "taught")

    (found,) = [r for r in records if r["arm"] == "examples"]
    for example in found["examples"]:
        molecule = Chem.MolFromSmiles(example["smiles"])
        assert [atom.GetSymbol() for atom in molecule.GetAtoms()] == example["elements"]
        assert len(example["shares"]) == len(example["places"]) == len(example["elements"])
        assert found["constant"] + sum(example["shares"]) == pytest.approx(example["predicted"], abs=2e-3)
        assert example["measured"] == pytest.approx(measured(example["smiles"]), abs=1e-3)

    other = file(["CCO", "CCCCN", "c1ccncc1"], "other.csv")
    file()
    ask = lambda *arms: call("--seeds", "1", "--evaluate", str(other), "--arms", *arms)
    ask("bonds of kinds", "fingerprint")
    said = capsys.readouterr().out
    assert "3 molecules in" in said and "1 of which ESOL has too" in said
    assert said.count("those that ESOL has not") == 2 and "fingerprint, all" in said
    for path in (tmp_path / ".cache").glob("*_weights.pt"):
        path.unlink()
    ask("bonds of kinds", "fingerprint")
    assert capsys.readouterr().out == said  # trained anew, the same numbers
    with pytest.raises(SystemExit, match="no rate has been chosen for bonds;"):
        ask("bonds")


def test_what_is_committed_is_complete():
    path = solubility.Path(solubility.__file__).with_suffix(".json")
    records = json.loads(path.read_text(encoding="utf-8"))["records"]
    for arm, split in product((*solubility.BASELINES, *NETWORKS), solubility.SPLITS):
        counted = [
            r
            for r in records
            if (r["arm"], r.get("split"), r.get("molecules")) == (arm, split, "all")
            and r["seed"] != solubility.TUNING
        ]
        if arm in NETWORKS:
            assert all(r["learning_rate"] == solubility.best_rate(records, arm, split) for r in counted)
            assert all(max(r["moved"]["renumbered"], r["moved"]["turned"]) < 1e-12 for r in counted)
        few = solubility.FEWER_SEEDS if split == "random" else 0
        seeds = range(few if arm in solubility.ALL_PAIRS else solubility.SEEDS)
        assert sorted(r["seed"] for r in counted) == list(seeds)
    for arm in solubility.CURVE:
        for n in solubility.SIZES:
            seeds = [r["seed"] for r in records if r["arm"] == arm and r.get("molecules") == n]
            assert sorted(seeds) == list(range(solubility.FEWER_SEEDS))
    (found,) = [r for r in records if r["arm"] == "examples"]
    assert len(found["examples"]) == 24
