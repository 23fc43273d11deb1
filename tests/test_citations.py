"""Papers that cite each other: the file is read or refused in words, networks do not see the order of papers, a run from start to end."""

import json
import sys

import citations
import numpy as np
import pytest
import torch
from scipy import sparse

from gdl_utils.layers import Adjacency


def content(n=60, seed=0):
    """Three fields, whose papers cite their own; words that tell little."""
    random = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    one, other = np.triu_indices(n, 1)
    cites = random.random(len(one)) < np.where(labels[one] == labels[other], 0.3, 0.02)
    words = sparse.csr_array(random.random((n, 12)) < 0.2 + 0.1 * (np.arange(12) % 3 == labels[:, None]))
    order = random.permutation(n).astype(np.int32)
    parts = {"edges": np.stack([one, other], 1)[cites].astype(np.int32), "labels": labels.astype(np.int16)}
    parts |= {"train_idx": order[:15], "val_idx": order[15:35], "test_idx": order[35:]}
    parts |= {f"x_{name}": getattr(words, name) for name in ("indptr", "indices", "data")}
    return parts | {"x_shape": np.array(words.shape)}


@pytest.fixture
def file(tmp_path, monkeypatch):
    """Write papers, and name them."""

    def write(**changes):
        path = tmp_path / "papers.npz"
        parts = content() | changes
        np.savez(path, **{name: part for name, part in parts.items() if part is not None})
        citations.papers.cache_clear()
        monkeypatch.setenv("GDL_CORA", str(path))
        return path

    yield write
    citations.papers.cache_clear()


def test_papers_are_read_as_they_were_written(file):
    parts, data = content(), citations.read(file())
    words = data.words.to_dense()
    there = (
        sparse.csr_array((parts["x_data"], parts["x_indices"], parts["x_indptr"]), (60, 12)).toarray() != 0
    )
    assert torch.allclose(words.sum(1), torch.from_numpy(there.any(1)).float())  # a paper may have no words
    assert (words.numpy() > 0).tolist() == there.tolist()
    S = data.graph.dense()
    cites = S > 0
    assert torch.equal(cites, cites.T) and cites.diagonal().all()
    assert cites.sum() == 60 + 2 * len(parts["edges"]) and all(cites[i, j] for i, j in parts["edges"])
    torch.testing.assert_close(data.smoothed, S @ S @ words)
    assert data.tested.tolist() == parts["test_idx"].tolist() and len(data.taught) == 15
    doubled = np.concatenate([parts["edges"], parts["edges"][:, ::-1], [[3, 3]]])
    assert torch.equal(citations.read(file(edges=doubled)).graph.dense(), S)


@pytest.mark.parametrize(
    "changes",
    [
        {"labels": None},
        {"labels": np.arange(59)},
        {"train_idx": np.array([60])},
        {"val_idx": np.array([], dtype=int)},
        {"x_shape": np.array([60])},
        {"x_indptr": np.arange(3)},
        {"labels": np.array([None] * 60)},  # a pickle
    ],
)
def test_other_files_are_refused(changes, file):
    with pytest.raises(SystemExit, match=r"papers.npz: ha|papers.npz: holds no papers"):
        citations.read(file(**changes))


def test_a_file_that_is_not_there_is_named(monkeypatch, tmp_path):
    citations.papers.cache_clear()
    monkeypatch.delenv("GDL_CORA", raising=False)
    with pytest.raises(SystemExit, match="GDL_CORA: is not set"):
        citations.papers()
    with pytest.raises(SystemExit, match="nothing: holds no papers"):
        citations.read(tmp_path / "nothing")


def renumbered(data, order):
    """The same papers in another order, in double precision."""
    edges = data.graph.edge_index
    graph = Adjacency(torch.argsort(order)[edges], len(order), data.graph.weight)
    words = data.words.to_dense()[order].double()
    rest = (torch.argsort(order)[rows] for rows in (data.taught, data.watched, data.tested))
    return citations.Papers(words.to_sparse(), graph @ (graph @ words), data.labels[order], graph, *rest)


def test_no_reader_sees_the_order_of_papers_and_those_with_edges_see_edges(file):
    data, every = citations.read(file()), torch.arange(60)
    torch.manual_seed(0)
    order = torch.randperm(60)
    same, other = renumbered(data, every), renumbered(data, order)
    rewired = same._replace(graph=other.graph, smoothed=other.graph @ (other.graph @ same.words.to_dense()))
    hear = set()
    for arm in citations.NETWORKS:
        reader = citations.Reader(arm, 12, 3, 0.5).double().eval()
        torch.testing.assert_close(reader(other, every), reader(same, order), rtol=0, atol=1e-12)
        if not torch.allclose(reader(rewired, every), reader(same, every), atol=1e-3):
            hear.add(arm)
        reader.train()
        assert not torch.equal(reader(same, every), reader(same, every))  # dropout
    assert hear == {"GCN", "smoothed words"}
    torch.testing.assert_close(citations.spread(other, 0.9), citations.spread(same, 0.9)[order])


def test_labels_spread_by_the_closed_formula(file):
    data = renumbered(citations.read(file()), torch.arange(60))
    S, known = data.graph.dense(), torch.zeros(60, 3, dtype=torch.float64)
    known[data.taught, data.labels[data.taught]] = 1
    limit = 0.5 * torch.linalg.solve(torch.eye(60, dtype=S.dtype) - 0.5 * S, known.to(S.dtype)).double()
    torch.testing.assert_close(citations.spread(data, 0.5).double(), limit, rtol=0, atol=1e-5)


def test_it_runs_from_start_to_end_and_only_once(file, tmp_path, monkeypatch, capsys):
    file()
    for name, value in {"EPOCHS": 30, "RATES": (0.03,), "DECAYS": (5e-4,), "DROPOUTS": (0.0, 0.5)}.items():
        monkeypatch.setattr(citations, name, value)
    monkeypatch.setattr(sys, "argv", ["citations.py", "--seeds", "2", "--out", str(tmp_path / "out.json")])
    citations.main(), citations.main()
    assert capsys.readouterr().out.count("all done") == 2
    records = json.loads((tmp_path / "out.json").read_text())["records"]
    mean = lambda arm: np.mean(
        [r["right"] for r in records if r["arm"] == arm and r["seed"] != citations.TUNING]
    )
    assert len(records) == 1 + 3 * (2 + 2)
    assert min(mean(arm) for arm in ("GCN", "smoothed words", "labels spread")) > mean("no edges") + 0.1
    sizes = {r["arm"]: r["parameters"] for r in records}
    assert sizes["GCN"] == sizes["no edges"] and sizes["labels spread"] == 0


def test_what_is_committed_is_complete():
    path = citations.Path(citations.__file__).with_suffix(".json")
    records = json.loads(path.read_text(encoding="utf-8"))["records"]
    for arm in citations.NETWORKS:
        counted = [r for r in records if r["arm"] == arm and r["seed"] != citations.TUNING]
        assert sorted(r["seed"] for r in counted) == list(range(citations.SEEDS))
        best = citations.best(records, arm)
        assert all(best.items() <= r.items() for r in counted)
    assert [r["seed"] for r in records if r["arm"] == "labels spread"] == [0]
