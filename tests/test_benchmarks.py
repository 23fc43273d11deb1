"""The benchmarks: what is committed is laid out as the scripts write it, and makes sense."""

import copy
import json
import sys
import types
from pathlib import Path

import _timing
import fft
import group_convolution
import intertwiners
import meshes
import message_passing
import numpy as np
import pytest
import torch
import training
import voxels
from torch import nn

from gdl_utils.equivariance import relative_error

FOLDER = Path(__file__).parents[1] / "benchmarks"
PEERS = {"group_convolution": "e2cnn", "message_passing": "torch_geometric"}


def committed(name):
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def faults(report, peer):
    """What is wrong with a benchmark's results."""
    found = [
        f"no {key}" for key in ("processor", "cores", "system", "threads") if key not in report["machine"]
    ]
    found += [f"no version of {key}" for key in ("python", "torch", peer) if key not in report["versions"]]
    for result in report.get("results", [report]):
        found += [f"{result['ours_ms']} ms"] * (not result["ours_ms"] > 0)
        for other, quartiles in result["other ÷ ours"].items():
            sensible = len(quartiles) == 3 and 0 < quartiles[0] <= quartiles[1] <= quartiles[2]
            found += [f"{other}: {quartiles}"] * (not sensible)
    return found


@pytest.mark.parametrize("name", PEERS)
def test_what_is_committed_makes_sense_and_a_planted_fault_is_seen(name):
    report = committed(name)
    assert faults(report, PEERS[name]) == []
    for plant in (
        lambda r: r["machine"].pop("threads"),
        lambda r: r["versions"].pop(PEERS[name]),
        lambda r: r.get("results", [r])[0].update({"ours_ms": 0}),
        lambda r: r.get("results", [r])[-1]["other ÷ ours"].update({"other": [1.2, 1.1, 1.3]}),
    ):
        plant(spoilt := copy.deepcopy(report))
        assert len(faults(spoilt, PEERS[name])) == 1


def layout(report):
    """The keys of a report at every level; of a list, those of its first entry."""
    if isinstance(report, dict):
        return {key: layout(value) for key, value in report.items()}
    return [layout(report[0])] if isinstance(report, list) else type(report)


def same_layers(names):
    """Contestants who are all alike."""
    layer, x = nn.Conv2d(1, 1, 3), torch.randn(1, 1, 4, 4)
    return {name: (layer, lambda layer: layer(x)) for name in names}


@pytest.mark.parametrize("name", PEERS)
def test_the_scripts_write_what_is_committed(name, tmp_path, monkeypatch):
    peer = types.ModuleType(PEERS[name])
    peer.__version__ = "0"
    monkeypatch.setitem(sys.modules, PEERS[name], peer)
    script = {"group_convolution": group_convolution, "message_passing": message_passing}[name]
    monkeypatch.setattr(script, "ROUNDS", 2)
    x, linear = torch.randn(5, 3, requires_grad=True), nn.Linear(3, 3)
    fakes = {
        "group_convolution": lambda: [("layer", same_layers(("ours", "plain", "e2cnn")))],
        "message_passing": lambda: (x, dict.fromkeys(("ours", "PyG, default", "PyG, CSR"), (linear, linear))),
    }
    monkeypatch.setattr(script, "contestants", fakes[name])
    script.main(tmp_path / "out.json")
    written = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert layout(written) == layout(committed(name))
    assert list(written) == list(committed(name))


def test_multiplying_gives_what_sliding_gives():
    x, w = torch.randn(2, 3, 8, 8, dtype=torch.float64), torch.randn(4, 3, 5, 5, dtype=torch.float64)
    assert relative_error(fft.by_fft(x, w), fft.direct(x, w)) <= 1e-12
    assert relative_error(fft.by_fft(x, w.flip(2, 3)), fft.direct(x, w)) > 0.1  # a mirrored filter is another


def test_the_bench_of_multiplying_writes_what_is_committed(tmp_path, monkeypatch):
    for name, value in {"ROUNDS": 2, "BATCH": 1, "SIZE": 8, "TAPS": (3,)}.items():
        monkeypatch.setattr(fft, name, value)
    threads = torch.get_num_threads()
    fft.main(tmp_path / "out.json")
    written = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert faults(committed("fft"), "torch") == [] and layout(written) == layout(committed("fft"))
    assert torch.get_num_threads() == threads


def test_the_bench_of_meshes_writes_what_is_committed(tmp_path, monkeypatch):
    for name, value in {"ROUNDS": 2, "VERTICES": 500, "WAVES": 128}.items():
        monkeypatch.setattr(meshes, name, value)
    meshes.main(tmp_path / "out.json")
    written = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert faults(committed("meshes"), "potpourri3d") == []
    assert layout(written) == layout(committed("meshes"))
    assert committed("meshes")["once"]["most memory, MiB"] < 2048


def test_the_bench_of_volumes_writes_what_is_committed(tmp_path, monkeypatch):
    for name, value in {"ROUNDS": 2, "BATCH": 2}.items():
        monkeypatch.setattr(voxels, name, value)
    voxels.main(tmp_path / "out.json")
    written = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert faults(committed("voxels"), "torch") == [] and layout(written) == layout(committed("voxels"))


def test_the_cube_whose_layers_are_counted_is_a_cube():
    moves = [m.argmax(0) for m in intertwiners.cube_moves()]  # where each sticker goes
    assert all(sorted(m) == list(range(48)) for m in moves)
    power = lambda m, k: np.arange(48) if k == 0 else m[power(m, k - 1)]
    for m in moves:
        assert (m != np.arange(48)).sum() == 20 and (power(m, 4) == np.arange(48)).all()
        assert (power(m, 2) != np.arange(48)).any()
    commute = sum((a[b] == b[a]).all() for a in moves for b in moves)
    assert commute == 6 + 6  # with itself, and with the opposite side
    for one, two in zip(moves[::2], moves[1::2], strict=True):
        assert (one[two] == two[one]).all()
    order = lambda m: next(k for k in range(1, 200) if (power(m, k) == np.arange(48)).all())
    # Two neighbouring sides in turn, as everybody may count on a cube: 105, and 63 if one is turned the other way.
    assert {order(moves[0][other]) for other in (moves[2], power(moves[2], 3))} == {63, 105}


def test_the_bench_of_intertwiners_is_laid_out_as_it_should_be(tmp_path, monkeypatch):
    report = committed("intertwiners")
    assert faults(report, "emlp") == []
    assert [r["dim"] for r in report["results"]] == [3, 9, 185]
    before = intertwiners.orders_of_five(1, 2)
    assert [m.shape for m in before] == [(30, 30)] * 2
    assert all((m.sum(0) == 1).all() and (m.sum(1) == 1).all() for m in before)


def test_the_bench_of_training_writes_what_is_committed(tmp_path, monkeypatch):
    for name, value in {"ROUNDS": 2, "EXAMPLES": 8, "BATCHES": (4,), "SIZE": 7, "SEEDS": 1}.items():
        monkeypatch.setattr(training, name, value)
    monkeypatch.setattr(training, "by_two", lambda batch: 1.0)  # what starts processes has tests of its own
    monkeypatch.setattr(training, "sweep", lambda: {"1 workers": 2.0, "2 workers": 1.0, "runs": 2})
    threads = torch.get_num_threads()
    training.main(tmp_path / "out.json")
    written, kept = json.loads((tmp_path / "out.json").read_text(encoding="utf-8")), committed("training")
    assert layout(written) == layout(kept) and torch.get_num_threads() == threads
    rows = {(r["group"], r["width"]): r for r in kept["networks"]}
    for width in (
        1,
        2,
    ):  # as many channels, as many operations; a quarter of the weights, but for the last layer
        ours, plain = rows["C4", width], rows["plain", 2 * width]
        assert ours["operations"] == pytest.approx(plain["operations"], rel=0.01)
        assert ours["parameters"] < 0.27 * plain["parameters"]


def test_operations_of_a_convolution_are_counted_as_by_hand():
    channels, side = training.CHANNELS["plain"], training.SIZE
    forward = 2 * 9 * side**2 * (channels + 2 * channels**2) + 2 * 10 * channels
    (row, *_) = [r for r in committed("training")["networks"] if r["group"] == "plain"]
    first = 2 * 9 * side**2 * channels  # nobody asks for the gradient of the pictures
    assert row["operations"] == 3 * forward - first


def test_bytes_kept_are_those_of_what_goes_from_layer_to_layer():
    x, y = torch.randn(5, 3), torch.zeros(5, dtype=torch.long)
    one = training.bytes_kept(nn.Linear(3, 4), x, y)
    deeper = training.bytes_kept(nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 4)), x, y)
    assert deeper == one + 4 * 5 * 4  # what tanh puts out is kept once


def test_contestants_take_turns():
    calls = []
    names = ("ours", "a", "b")
    ours, quartiles = _timing.in_turns("", {n: lambda n=n: calls.append(n) for n in names}, 4)
    assert ours > 0 and list(quartiles) == ["a", "b"]
    assert [calls[3 * turn] for turn in range(9)] == ["ours", "a", "b"] * 3
    assert all(sorted(calls[3 * turn : 3 * turn + 3]) == sorted(names) for turn in range(9))


def test_a_contestant_that_computes_something_else_is_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_geometric", types.ModuleType("torch_geometric"))
    x, layers = torch.randn(5, 3, requires_grad=True), {n: nn.Linear(3, 3) for n in ("ours", "other")}
    monkeypatch.setattr(message_passing, "contestants", lambda: (x, {n: (f, f) for n, f in layers.items()}))
    with pytest.raises(SystemExit, match="other computes something else"):
        message_passing.main(tmp_path / "out.json")
