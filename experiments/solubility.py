"""ESOL: how much of a molecule dissolves in water? Its atoms alone, its bonds, its shape in space; beside what needs no network.

What is predicted is log10 of the solubility in mol/l, of 1,128 molecules. Two splits, by seed, each 80 % to learn from, 10 % to choose by
("watched") and 10 % to test. "random": molecules in a random order; those that are listed twice, up to stereo marks, stay on one side.
"scaffold": molecules with the same rings and linkers (Bemis and Murcko 1996) stay on one side; groups come in a random order, and fill the
test tenth, then the watched one, each with what fits; those larger than half a tenth, which are the molecules without a ring and those
with nothing but benzene's, are always learnt from.

Networks have equally many parameters, up to 5 %, and take as many steps. Each atom starts with its element, degree, charge, hydrogens,
whether it is aromatic and whether in a ring; three layers are h ← h + MLP(what is heard); then each atom says one number, and the answer
is their sum and a constant.

"atoms alone": an atom hears itself: h. (Its degree and its hydrogens still tell of its bonds.)
"bonds": it hears its neighbours too: h + Σ_j relu(h_j).
"bonds of kinds": and by which bond: h + Σ_j relu(h_j + W e_ij), as GINE of Hu et al. (2020); e_ij is single, double, triple or aromatic,
    conjugated, in a ring.
"wrong bonds": the same, but each molecule's atoms have changed places at random in its graph, once for all.
"conformers": no bonds; two EGNN layers, in which each atom hears the distances to all others, in one conformer of RDKit (ETKDG).
"nowhere": the same, with all atoms in one place: what it brings to hear everyone, without a shape; with the rate of "conformers".

Without a network: "mean"; "counted atoms", how often each element and hydrogen is there, and "fingerprint", how often each of 2,048 kinds
of surroundings up to two bonds wide (Morgan; or whether), both read by a ridge regression whose penalty is chosen on the watched tenth;
"descriptors", a linear regression on four numbers as Delaney's: log P as estimated by RDKit, weight, rotatable bonds, share of aromatic atoms.

An arm has on each split the rate of three that does best on the watched tenth with a seed of its own; then five seeds count, each with a
split of its own. Of a training the last network counts. "rmse" has root mean square errors. "moved" says how far the answer for 20
molecules, in float64, moves at most when their atoms are renumbered or the conformers turned, and, as controls, when
the bonds are not renumbered or conformers are stretched by a tenth. With few molecules to learn from ("molecules"), rate and steps
are those of all, and the watched tenth is whole. These two, which take ten times as long, are asked on the random split alone, with three
seeds.
"examples" are 24 molecules of a test tenth, with what each atom says.

    python experiments/solubility.py
    python experiments/solubility.py --evaluate FILE.csv --arm "bonds of kinds"

The second asks the networks of all seeds about another file of the same columns. It reads the weights from the folder .cache beside
the results, or trains them anew where they are missing.
"""

import os
import time
import zlib
from collections.abc import Callable
from functools import lru_cache, partial
from itertools import pairwise, product
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import numpy as np
import torch
from four_cubes import random_turns
from rdkit import Chem
from rdkit.Chem import AllChem, Crippen, Descriptors, rdFingerprintGenerator
from rdkit.Chem.rdMolDescriptors import CalcMolFormula
from rdkit.Chem.Scaffolds.MurckoScaffold import MurckoScaffoldSmiles
from rdkit.rdBase import BlockLogs
from runner import Results, arguments, keep, rounded, run_all
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression, Ridge
from torch import nn

from gdl_utils.data import esol
from gdl_utils.layers import EGNNLayer
from gdl_utils.training import fit

EPOCHS, BATCH = 200, 32
RATES = (0.002, 0.006, 0.02)
SEEDS, TUNING = 5, 100
ALPHAS = [10.0**k for k in range(-3, 5)]
UNIT = 2.0  # Å, in which EGNN layers measure
NETWORKS = {  # layers, and numbers at each atom
    "atoms alone": (3, 43),
    "bonds": (3, 43),
    "bonds of kinds": (3, 42),
    "wrong bonds": (3, 42),
    "conformers": (2, 30),
    "nowhere": (2, 30),
}
BASELINES = ("mean", "counted atoms", "fingerprint", "descriptors")
CURVE = ("counted atoms", "fingerprint", "descriptors", "atoms alone", "bonds of kinds")
SIZES, FEWER_SEEDS = (50, 100, 200, 400), 3
ALL_PAIRS = ("conformers", "nowhere")  # slow: asked on the random split alone, with as few seeds as the curve
SPLITS = ("random", "scaffold")
PARTS = ("taught", "watched", "test")

ELEMENTS = ("C", "N", "O", "F", "P", "S", "Cl", "Br", "I")  # all that ESOL has; others count as one
ORDERS = (Chem.BondType.SINGLE, Chem.BondType.DOUBLE, Chem.BondType.TRIPLE, Chem.BondType.AROMATIC)
ATOM, BOND = len(ELEMENTS) + 6, len(ORDERS) + 2  # features


class Graphs(NamedTuple):
    """Molecules, padded to n atoms and b bonds; a bond is there in both directions, and one that is not goes from -1 to -1."""

    atoms: torch.Tensor  # (molecules, n, ATOM)
    there: torch.Tensor  # (molecules, n)
    ends: torch.Tensor  # (molecules, b, 2)
    kinds: torch.Tensor  # (molecules, b, BOND)
    places: torch.Tensor  # (molecules, n, 3), of one conformer, in Å

    def double(self) -> "Graphs":
        return Graphs(*(t.double() if t.is_floating_point() else t for t in self))

    def some(self, rows: torch.Tensor) -> "Graphs":
        return Graphs(*(t[rows] for t in self))


def known(smiles: list[str]) -> list[Chem.Mol]:
    """Molecules as RDKit reads them."""
    with BlockLogs():
        found = [Chem.MolFromSmiles(text) for text in smiles]
    for row, (text, molecule) in enumerate(zip(smiles, found, strict=True), start=1):
        if molecule is None or molecule.GetNumAtoms() == 0:
            raise SystemExit(f"row {row} below the header: RDKit reads no molecule in {text!r}")
    return found


def atom_features(atom: Chem.Atom) -> list[float]:
    element = [atom.GetSymbol() == symbol for symbol in ELEMENTS]
    numbers = [atom.GetDegree(), atom.GetFormalCharge(), atom.GetTotalNumHs()]
    return [*element, not any(element), *numbers, atom.GetIsAromatic(), atom.IsInRing()]


def bond_features(bond: Chem.Bond) -> list[float]:
    return [*(bond.GetBondType() == order for order in ORDERS), bond.GetIsConjugated(), bond.IsInRing()]


def conformer(molecule: Chem.Mol) -> tuple[np.ndarray, bool]:
    """Places of atoms in space, (n, 3), and whether there are any; if not, those of a drawing."""
    whole, how = Chem.AddHs(molecule), AllChem.ETKDGv3()  # hydrogens come last
    how.randomSeed = 0
    with BlockLogs():
        embedded = AllChem.EmbedMolecule(whole, how) >= 0
    if not embedded:
        AllChem.Compute2DCoords(whole := Chem.Mol(molecule))
    return whole.GetConformer().GetPositions()[: molecule.GetNumAtoms()], embedded


def graphs(molecules: list[Chem.Mol]) -> tuple[Graphs, int]:
    """Padded graphs, and how many have the places of a drawing."""
    n = max(molecule.GetNumAtoms() for molecule in molecules)
    b = max(1, *(2 * molecule.GetNumBonds() for molecule in molecules))
    shapes = {"atoms": (n, ATOM), "there": (n,), "ends": (b, 2), "kinds": (b, BOND), "places": (n, 3)}
    data = Graphs(**{name: torch.zeros(len(molecules), *shape) for name, shape in shapes.items()})
    data, flat = data._replace(there=data.there.bool(), ends=data.ends.long() - 1), 0
    for row, molecule in enumerate(molecules):
        size, bonds = molecule.GetNumAtoms(), list(molecule.GetBonds())
        data.atoms[row, :size] = torch.tensor([atom_features(atom) for atom in molecule.GetAtoms()]).float()
        data.there[row, :size] = True
        places, embedded = conformer(molecule)
        data.places[row, :size], flat = torch.from_numpy(places).float(), flat + (not embedded)
        if bonds:
            ends = torch.tensor([(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in bonds])
            data.ends[row, : 2 * len(bonds)] = torch.cat([ends, ends.flip(1)])
            kinds = torch.tensor([bond_features(bond) for bond in bonds]).float()
            data.kinds[row, : 2 * len(bonds)] = kinds.repeat(2, 1)
    return data, flat


def rewired(molecules: list[Chem.Mol], data: Graphs) -> Graphs:
    """The same atoms and bonds, but in each molecule atoms have changed places at random."""
    ends = data.ends.clone()
    for row, molecule in enumerate(molecules):
        random = np.random.default_rng(zlib.crc32(Chem.MolToSmiles(molecule).encode()))
        place = torch.from_numpy(random.permutation(molecule.GetNumAtoms()))
        ends[row, : 2 * molecule.GetNumBonds()] = place[ends[row, : 2 * molecule.GetNumBonds()]]
    return data._replace(ends=ends)


class ESOL(NamedTuple):
    smiles: list[str]
    molecules: list[Chem.Mol]
    y: torch.Tensor
    data: Graphs
    wrong: Graphs
    flat: int

    def of(self, arm: str) -> Graphs:
        return self.wrong if arm == "wrong bonds" else self.data


def read() -> ESOL:
    smiles, y = esol()
    molecules = known(smiles)
    data, flat = graphs(molecules)
    return ESOL(smiles, molecules, y, data, rewired(molecules, data), flat)


@lru_cache(maxsize=1)
def prepared() -> ESOL:
    return read()


def without_stereo(molecule: Chem.Mol) -> str:
    """A name that two copies share."""
    return Chem.MolToSmiles(molecule, isomericSmiles=False)


@lru_cache(maxsize=2)
def keys(split: str) -> list[str]:
    """Molecules with the same key stay on one side."""
    named = {"random": without_stereo, "scaffold": lambda m: MurckoScaffoldSmiles(mol=m)}[split]
    return [named(molecule) for molecule in prepared().molecules]


def parted(keys: list[str], seed: int) -> list[torch.Tensor]:
    """Rows to learn from, to choose by, and to test."""
    groups, tenth = {}, len(keys) // 10
    for row, key in enumerate(keys):
        groups.setdefault(key, []).append(row)
    groups, taught, watched, tested = list(groups.values()), [], [], []
    for k in np.random.default_rng(seed).permutation(len(groups)):
        small = 2 * len(groups[k]) <= tenth
        free = (part for part in (tested, watched) if small and len(part) + len(groups[k]) <= tenth)
        next(free, taught).extend(groups[k])
    return [torch.tensor(part) for part in (taught, watched, tested)]


def parts(split: str, seed: int, molecules: str | int) -> dict[str, torch.Tensor]:
    """The rows of a split, of which so many are learnt from."""
    rows = dict(zip(PARTS, parted(keys(split), seed), strict=True))
    return rows if molecules == "all" else rows | {"taught": rows["taught"][:molecules]}


class Layer(nn.Module):
    """h ← h + MLP(h and what is heard), where an atom hears nobody, or neighbours, or neighbours and kinds of bonds."""

    def __init__(self, arm: str, width: int):
        super().__init__()
        self.hears, self.kind = arm != "atoms alone", None
        if arm in ("bonds of kinds", "wrong bonds"):
            self.kind = nn.Linear(BOND, width, bias=False)
        self.update = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))

    def forward(self, h: torch.Tensor, ends: torch.Tensor, kinds: torch.Tensor) -> torch.Tensor:
        """Atoms of many molecules in one, (atoms, width); bonds (bonds, 2)."""
        if not self.hears:
            return h + self.update(h)
        heard = h[ends[:, 0]] if self.kind is None else h[ends[:, 0]] + self.kind(kinds)
        return h + self.update(h.index_add(0, ends[:, 1], heard.relu()))


class Network(nn.Module):
    """A constant, and what each atom adds to it."""

    def __init__(self, arm: str, mean: float = 0.0, scale: float = 1.0):
        super().__init__()
        (layers, width), self.arm = NETWORKS[arm], arm
        self.start = nn.Linear(ATOM, width)
        layer = partial(EGNNLayer, hidden=width) if arm in ALL_PAIRS else partial(Layer, arm)
        self.layers = nn.ModuleList(layer(width) for _ in range(layers))
        self.share = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))
        self.bias = nn.Parameter(torch.zeros(()))
        self.register_buffer("mean", torch.tensor(mean)), self.register_buffer("scale", torch.tensor(scale))

    def constant(self) -> torch.Tensor:
        return self.mean + self.scale * self.bias

    def shares(self, data: Graphs) -> torch.Tensor:
        """What each atom adds, (molecules, n); 0 where there is none."""
        said = self.in_space(data) if self.arm in ALL_PAIRS else self.along_bonds(data)
        return self.scale * said

    def forward(self, data: Graphs) -> torch.Tensor:
        return self.constant() + self.shares(data).sum(1)

    def along_bonds(self, data: Graphs) -> torch.Tensor:
        sizes, bonded = data.there.sum(1), data.ends[..., 0] >= 0
        first = sizes.cumsum(0) - sizes  # of a molecule's atoms, when all are in one row
        ends, kinds = (data.ends + first[:, None, None])[bonded], data.kinds[bonded]
        h = self.start(data.atoms[data.there])
        for layer in self.layers:
            h = layer(h, ends, kinds)
        said = torch.zeros_like(data.atoms[..., 0])
        said[data.there] = self.share(h)[:, 0]
        return said

    def in_space(self, data: Graphs) -> torch.Tensor:
        """All pairs cost the square of the largest of a batch, so that small ones go together."""
        sizes, said = data.there.sum(1), torch.zeros_like(data.atoms[..., 0])
        for rows in sizes.argsort().split(8):
            n = int(sizes[rows].max())
            some = data.some(rows)
            there, x = some.there[:, :n], some.places[:, :n] / UNIT
            x = x if self.arm == "conformers" else torch.zeros_like(x)
            h = self.start(some.atoms[:, :n])
            for layer in self.layers:
                h, x = layer(h, x, mask=there)
            said[rows, :n] = torch.where(there, self.share(h)[..., 0], 0)
        return said


def rmse(found, y) -> float:
    return round(float(np.sqrt(np.mean((np.asarray(found, float) - np.asarray(y, float)) ** 2))), 4)


@torch.no_grad()
def answers(model: nn.Module, data: Graphs) -> np.ndarray:
    rows = torch.arange(len(data.atoms)).split(200)
    return torch.cat([model(data.some(some)) for some in rows]).numpy()


def learn(
    train, arm: str, split: str, molecules: str | int, seed: int, epochs: int, learning_rate: float
) -> tuple:
    """A trained network, the losses on the way, and the seconds."""
    rows, y, data = parts(split, seed, molecules)["taught"], prepared().y, prepared().of(arm)
    every = len(parts(split, seed, "all")["taught"])
    torch.manual_seed(seed)
    model = Network(arm, float(y[rows].mean()), float(y[rows].std()))
    loss = lambda model, some: ((model(data.some(some)) - y[some]) / model.scale).square().mean()
    seen = rows.repeat(-(-every // len(rows)))[:every]  # few molecules are seen more often: as many steps
    history, seconds = train(model, loss, (seen,), epochs=epochs, seed=seed, learning_rate=learning_rate)
    return model, history, seconds


def renumbered(data: Graphs, bonds: bool = True) -> Graphs:
    """The same molecules, each with its atoms in another order; bonds go along, or, as a control, do not."""
    random = torch.rand(data.there.shape, generator=torch.Generator().manual_seed(0))
    order = random.masked_fill(~data.there, 2).argsort(1)  # what pads stays at the end
    atoms, places = (
        t.gather(1, order[..., None].expand(-1, -1, t.shape[-1])) for t in (data.atoms, data.places)
    )
    ends = order.argsort(1).gather(1, data.ends.clamp(min=0).flatten(1)).view_as(data.ends)
    ends = torch.where(data.ends >= 0, ends, -1) if bonds else data.ends
    return data._replace(atoms=atoms, places=places, ends=ends)


def moved(model: Network, data: Graphs) -> dict[str, float]:
    """How far an answer moves at most."""
    data = data.double()
    exact = Network(model.arm).double()
    exact.load_state_dict(model.state_dict())
    turns = random_turns(len(data.atoms), torch.Generator().manual_seed(0)).double()
    turns = torch.linalg.qr(turns)[0]  # orthogonal in float64 too
    changed = {
        "renumbered": renumbered(data),
        "atoms renumbered, bonds not": renumbered(data, bonds=False),
        "turned": data._replace(places=data.places @ turns),
        "stretched": data._replace(places=1.1 * data.places),
    }
    still = answers(exact, data)
    return {name: rounded(np.abs(answers(exact, other) - still).max()) for name, other in changed.items()}


def weights(folder: Path, **values) -> Path:
    return folder / f"solubility_{'_'.join(map(str, values.values()))}_weights.pt".replace(" ", "-")


def run(train, folder: Path, **values) -> dict:
    """Train one network, judge it, and keep its weights."""
    model, history, seconds = learn(train, **values)
    data, y = prepared().of(values["arm"]), prepared().y
    rows = parts(*(values[name] for name in ("split", "seed", "molecules")))
    keep(model.state_dict(), weights(folder, **values))
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "seconds": seconds,
        "losses": [rounded(history[k * len(history) // 10 - 1]) for k in range(1, 11)],
        "rmse": {name: rmse(answers(model, data.some(some)), y[some]) for name, some in rows.items()},
        "moved": moved(model, data.some(rows["test"][:20])),
    }


def counted_atoms(molecule: Chem.Mol) -> list[float]:
    features = np.array([atom_features(atom) for atom in molecule.GetAtoms()]).sum(0)
    return [*features[: len(ELEMENTS) + 1], features[len(ELEMENTS) + 3]]  # and hydrogens


def descriptors(molecule: Chem.Mol) -> list[float]:
    aromatic = np.mean([atom.GetIsAromatic() for atom in molecule.GetAtoms()])
    rotatable = Descriptors.NumRotatableBonds(molecule)
    return [Crippen.MolLogP(molecule), Descriptors.MolWt(molecule), rotatable, aromatic]


def fingerprints(molecules: list[Chem.Mol]) -> np.ndarray:
    kinds = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    return np.array([kinds.GetCountFingerprintAsNumPy(molecule) for molecule in molecules], dtype=float)


def candidates(arm: str) -> list[tuple[Callable, list]]:
    """What makes numbers of molecules, and the regressions that may read them."""
    ridges = [Ridge(alpha) for alpha in ALPHAS]
    each = lambda numbers: lambda molecules: np.array([numbers(molecule) for molecule in molecules])
    return {
        "mean": [(lambda molecules: np.zeros((len(molecules), 1)), [DummyRegressor()])],
        "counted atoms": [(each(counted_atoms), ridges)],
        "fingerprint": [(fingerprints, ridges), (lambda m: np.minimum(fingerprints(m), 1), ridges)],
        "descriptors": [(each(descriptors), [LinearRegression()])],
    }[arm]


def without_network(arm: str, split: str, molecules: str | int, seed: int) -> tuple[Callable, dict]:
    """What reads molecules, and what was chosen: of equals the largest penalty."""
    rows, (_, known, y, *_) = parts(split, seed, molecules), prepared()
    best = None
    for way, (numbers, regressions) in enumerate(candidates(arm)):
        x = {name: numbers([known[k] for k in rows[name]]) for name in ("taught", "watched")}
        for regression in reversed(regressions):
            regression.fit(x["taught"], y[rows["taught"]].numpy())
            error = rmse(regression.predict(x["watched"]), y[rows["watched"]])
            if best is None or error < best[0]:
                chosen = {"way": way} | {k: v for k, v in regression.get_params().items() if k == "alpha"}
                best = error, chosen, numbers, type(regression)(**regression.get_params())
    _, chosen, numbers, regression = best
    regression.fit(numbers([known[k] for k in rows["taught"]]), y[rows["taught"]].numpy())
    return lambda some: regression.predict(numbers(some)), chosen


def run_without_network(train, **values) -> dict:
    start, (_, known, y, *_) = time.process_time(), prepared()
    predict, chosen = without_network(**values)
    seconds = round(time.process_time() - start, 2)
    rows = parts(*(values[name] for name in ("split", "seed", "molecules")))
    errors = {name: rmse(predict([known[k] for k in some]), y[some]) for name, some in rows.items()}
    return {"parameters": 0, "seconds": seconds, "chosen": chosen, "rmse": errors}


def best_rate(records: list[dict], arm: str, split: str) -> float:
    """The rate with which the arm does best on the watched tenth."""
    arm = "conformers" if arm in ALL_PAIRS else arm
    tried = [r for r in records if r["seed"] == TUNING and (r["arm"], r.get("split")) == (arm, split)]
    if not tried:
        raise SystemExit(f"--arm: no rate has been chosen for {arm}; run without --evaluate first")
    return min(tried, key=lambda r: r["rmse"]["watched"])["learning_rate"]


def ready(results: Results, folder: Path, arm: str, split: str, seed: int) -> Network:
    """A trained network, from its weights if there are any."""
    values = {"arm": arm, "split": split, "molecules": "all", "seed": seed, "epochs": EPOCHS}
    values |= {"learning_rate": best_rate(results.records, arm, split)}
    path = weights(folder, **values)
    if path.exists():
        model = Network(arm).eval()
        model.load_state_dict(torch.load(path, weights_only=True))
        return model
    model, _, _ = learn(lambda *a, **k: (fit(*a, batch_size=BATCH, **k), None), **values)
    keep(model.state_dict(), path)
    return model


def example(smiles: str, molecule: Chem.Mol, y: float, constant: float, shares: torch.Tensor) -> dict:
    """What a picture of a molecule needs, and what its atoms say."""
    drawn = Chem.Mol(molecule)
    AllChem.Compute2DCoords(drawn)
    digits = lambda numbers, k: [round(float(x), k) for x in numbers]
    return {
        "smiles": smiles,
        "formula": CalcMolFormula(molecule),
        "elements": [atom.GetSymbol() for atom in drawn.GetAtoms()],
        "hydrogens": [atom.GetTotalNumHs() for atom in drawn.GetAtoms()],
        "charges": [atom.GetFormalCharge() for atom in drawn.GetAtoms()],
        "places": [digits(place[:2], 2) for place in drawn.GetConformer().GetPositions()],
        "bonds": [
            [bond.GetBeginAtomIdx(), bond.GetEndAtomIdx(), bond.GetBondTypeAsDouble()]
            for bond in drawn.GetBonds()
        ],
        "measured": round(y, 3),
        "predicted": round(constant + float(shares.sum()), 3),
        "shares": digits(shares, 4),
    }


def examples(train, results: Results, folder: Path, **values) -> dict:
    """Of each eighth of a test tenth, in the order of solubility, what is predicted best, in the middle, and worst."""
    smiles, known, y, data, *_ = prepared()
    model = ready(results, folder, "bonds of kinds", "random", values["seed"])
    rows = parts("random", values["seed"], "all")["test"]
    rows = rows[y[rows].argsort()]
    with torch.no_grad():
        shares, constant = model.shares(data.some(rows)), float(model.constant())
    errors = (constant + shares.sum(1) - y[rows]).abs()
    edges, chosen = np.unique(np.linspace(0, len(rows), 9).astype(int)), []
    for low, high in pairwise(edges):
        order = (low + errors[low:high].argsort()).tolist()
        chosen += sorted({order[0], order[len(order) // 2], order[-1]})
    of = lambda k, row: example(smiles[row], known[row], float(y[row]), constant, shares[k][data.there[row]])
    return {
        "of": "bonds of kinds",
        "constant": round(constant, 4),
        "examples": [of(k, int(rows[k])) for k in chosen],
    }


def about() -> dict:
    """What the molecules are, and how large the parts of the splits."""
    _, molecules, _, data, _, flat = prepared()
    copies, scaffolds = keys("random"), keys("scaffold")
    return {
        "molecules": len(molecules),
        "listed twice": len(copies) - len(set(copies)),
        "scaffolds": len(set(scaffolds)),
        "largest scaffolds": sorted(map(scaffolds.count, set(scaffolds)))[:-4:-1],
        "drawn, not embedded": flat,
        "most atoms": data.there.shape[1],
        "parts": {split: [len(p) for p in parts(split, 0, "all").values()] for split in SPLITS},
    }


def evaluate(file: Path, arm: str, split: str, seeds: int, results: Results, folder: Path) -> None:
    """Print how far off an arm's networks are, and the mean of their answers, on another file."""
    with mock.patch.dict(os.environ, GDL_ESOL=str(file)):
        theirs = read()
    ours = set(keys("random"))
    new = np.array([without_stereo(molecule) not in ours for molecule in theirs.molecules])
    print(f"{len(new)} molecules in {file}, {int((~new).sum())} of which ESOL has too\n")
    if arm in BASELINES:
        found = [without_network(arm, split, "all", seed)[0](theirs.molecules) for seed in range(seeds)]
    else:
        found = [answers(ready(results, folder, arm, split, seed), theirs.of(arm)) for seed in range(seeds)]
    for words, which in {"all": np.full(len(new), True), "those that ESOL has not": new}.items():
        if which.any():
            each = [rmse(f[which], theirs.y[which]) for f in found]
            mean = rmse(np.mean(found, axis=0)[which], theirs.y[which])
            print(
                f"{arm}, {words}: root mean square error {np.mean(each):.3f} ± {np.std(each):.3f}; of the mean of {seeds}: {mean:.3f}"
            )


def main() -> None:
    parser = arguments(__doc__, Path(__file__).with_suffix(".json"))
    arms = [*BASELINES, *NETWORKS]
    parser.add_argument("--arms", "--arm", nargs="+", choices=arms, default=arms)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument(
        "--evaluate", type=Path, metavar="FILE.csv", help="another file with the same columns"
    )
    parser.add_argument("--split", choices=SPLITS, default="random", help="on whose networks are asked")
    args = parser.parse_args()
    settings = {"batch": BATCH, "rates": list(RATES), "tuning": TUNING, "unit": UNIT}
    settings |= {"networks": {arm: list(shape) for arm, shape in NETWORKS.items()}}
    results, folder = Results(args.out, settings), args.out.parent / ".cache"
    if args.evaluate:
        for arm in args.arms:
            evaluate(args.evaluate, arm, args.split, args.seeds, results, folder)
        return
    call = partial(run_all, results, how=args, batch_size=BATCH)
    networks = partial(call, run=partial(run, folder=folder))
    readers = [arm for arm in args.arms if arm in BASELINES]
    some = [arm for arm in args.arms if arm in NETWORKS and arm not in ALL_PAIRS]
    slow = [arm for arm in ALL_PAIRS if arm in args.arms]
    values = lambda arm, split, n, seed: {"arm": arm, "split": split, "molecules": n, "seed": seed}
    chosen = lambda *v: values(*v) | {"epochs": EPOCHS, "learning_rate": best_rate(results.records, *v[:2])}
    every = lambda arms: [(a, split, "all", k) for split, k, a in product(SPLITS, range(args.seeds), arms)]
    curve = lambda arms: [
        (arm, "random", n, k) for k, n, arm in product(range(FEWER_SEEDS), SIZES, arms) if arm in CURVE
    ]
    done = call([{"arm": "about", "seed": 0}], run=lambda train, **_: about())
    done = done and call([values(*v) for v in every(readers) + curve(readers)], run=run_without_network)
    tuning = lambda arms, splits: [
        values(arm, split, "all", TUNING) | {"epochs": EPOCHS, "learning_rate": rate}
        for arm, split, rate in product(arms, splits, RATES)
    ]
    done = done and networks(tuning(some, SPLITS))
    done = done and networks([chosen(*v) for v in every(some)])
    if done and "bonds of kinds" in some:
        call([{"arm": "examples", "seed": 0}], run=partial(examples, results=results, folder=folder))
    done = done and networks([chosen(*v) for v in curve(some)])
    done = done and networks(tuning(slow[:1], SPLITS[:1]))
    done = done and networks([chosen(arm, SPLITS[0], "all", k) for k in range(FEWER_SEEDS) for arm in slow])
    print("all done" if done else "call again to go on")


if __name__ == "__main__":
    main()
