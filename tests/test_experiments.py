"""The experiments: equal arms, and a run that is killed in the middle goes on as if it had not been."""

import base64
import json
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import adrenal
import any_angle
import binding
import error_against_time
import exchange_rate
import four_cubes
import four_parts
import is_it_moved
import kept_symmetries
import mirror_patches
import numpy as np
import page_networks
import planted_words
import pytest
import rotated_digits
import shifted_digits
import torch
import volumes
from arms import exactness, scrambled, with_turns, wrong_group
from runner import Results, arguments, run_all

from gdl_utils.data import one_hot
from gdl_utils.domains import cubic_grid, hexagonal_grid, square_grid
from gdl_utils.equivariance import equivariance_errors, relative_error
from gdl_utils.groups import cyclic, dihedral, octahedral, prismatic
from gdl_utils.layers import averaged
from gdl_utils.signals import SignalSpace

FOLDER = Path(__file__).parents[1] / "experiments"
STEPS = 80  # of one batch of 20
OPTIONS = [
    *("--arms", "CNN", "p4", "--training", "upright", "--examples", "20"),
    *("--steps", str(STEPS), "--seeds", "1"),
]
# The script with a tuning that takes no time: one rate, two steps.
QUICK = """
import sys
sys.path.insert(0, sys.argv[1])
del sys.argv[1]
import rotated_digits
rotated_digits.RATES, rotated_digits.TUNED_WITH["digits"], rotated_digits.TUNING["steps"] = (0.01,), 20, 2
rotated_digits.main()
"""


@pytest.fixture
def quick(monkeypatch):
    """The same in this process."""
    monkeypatch.setattr(rotated_digits, "RATES", (0.01,))
    monkeypatch.setitem(rotated_digits.TUNED_WITH, "digits", 20)
    monkeypatch.setitem(rotated_digits.TUNING, "steps", 2)


def call(folder, *more):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", QUICK, FOLDER, *OPTIONS, "--out", folder / "out.json", *more],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def records(folder):
    content = json.loads((folder / "out.json").read_text(encoding="utf-8"))
    return [
        {key: value for key, value in record.items() if key != "seconds"} for record in content["records"]
    ]


def finish(process):
    log, _ = process.communicate(timeout=240)
    assert process.returncode == 0, log
    return log


def test_a_killed_run_goes_on_and_loses_at_most_one_epoch(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir(), killed.mkdir()
    name = f"out_p4_upright_20_0_{STEPS}_0.01"
    log = finish(call(whole))
    assert f"{name}: trained epochs 1 to {STEPS}\n" in log and log.endswith("all done\n")

    first = call(killed)
    checkpoint = killed / ".cache" / f"{name}.pt"
    while not checkpoint.exists():  # the second run has saved its first epoch
        assert first.poll() is None, first.communicate()
        time.sleep(0.002)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    saved = len(torch.load(checkpoint, weights_only=True)["history"])
    assert 1 <= saved < STEPS, "the kill came too late to tell anything"
    assert len(records(killed)) == 3  # the tuning and the first run are recorded, and the file is whole

    log = finish(call(killed))
    assert f"{name}: trained epochs {saved + 1} to {STEPS}\n" in log
    assert "CNN" not in log  # what is done is not done again
    assert records(killed) == records(whole)
    assert not list((killed / ".cache").iterdir())
    head = json.loads((killed / "out.json").read_text(encoding="utf-8"))
    assert {"date", "command", "machine", "versions", "duration_s", "settings"} <= head.keys()
    assert not checks(records(whole))


def checks(found):
    """What is wrong with the records of the two arms."""
    cnn, p4 = found[-2:]
    exact = max(p4["exactness"].values()) < 1e-12 and p4["error"]["turned"] == p4["error"]["upright"]
    broken = min(cnn["exactness"].values()) > 1e-2  # the control: without the group the same measure sees it
    return [] if exact and broken else found


@pytest.mark.parametrize("layers", [3, 4])
def test_all_arms_have_equal_numbers_of_parameters(layers):
    counts = {
        name: sum(p.numel() for p in rotated_digits.network(arm.kernel, arm.width, layers).parameters())
        for name, arm in rotated_digits.arms().items()
    }
    assert max(counts.values()) < 1.05 * min(counts.values()), counts


@pytest.mark.parametrize("data", ["digits", "mnist"])
def test_arms_are_invariant_to_their_group_and_the_others_are_not(data, rng):
    for name, (kernel, width, group, way) in rotated_digits.arms().items():
        torch.manual_seed(0)
        space = rotated_digits.grid(data, group)
        mask = torch.from_numpy(space.domain.mask)
        images = torch.rand(2, 1, *space.shape, generator=rng) * mask
        model = rotated_digits.network(kernel, width, rotated_digits.LAYERS[data])
        model = averaged(model, space) if way == "average" else model
        error = exactness(model, images, space)
        exact = name in ("p4", "p4m", "p6") or name.startswith("averaged")
        assert error < 1e-12 if exact else error > 1e-3, name


def test_turns_in_training_are_those_of_the_group(rng):
    space = rotated_digits.grid("digits", cyclic(4))
    x, seen = torch.rand(1, 1, 12, 12, generator=rng).expand(200, -1, -1, -1), []
    model = lambda batch: seen.append(batch) or batch.flatten(1)[:, :10]
    with_turns(space)(model, x, torch.zeros(200).long())
    moved = [[torch.equal(space.act(g, x[0]), image) for g in range(4)] for image in seen[0]]
    counts = torch.tensor(moved).sum(0)
    assert counts.sum() == 200 and counts.min() > 20  # each is one of the four, and each of the four occurs


def test_the_best_rate_is_that_of_the_tuning_alone():
    record = lambda rate, held_out, **more: {"arm": "p4", "learning_rate": rate, "held out": held_out} | more
    tuning = [
        record(rate, e, **rotated_digits.TUNING) for rate, e in ((0.003, 0.2), (0.01, 0.1), (0.03, 0.3))
    ]
    others = [
        record(0.03, 0.0, **rotated_digits.TUNING | {"seed": 0}),
        record(0.003, 0.0, **rotated_digits.TUNING) | {"arm": "CNN"},
    ]
    assert rotated_digits.best_rate(others + tuning, "p4") == 0.01
    assert rotated_digits.best_rate(others + tuning, "CNN") == 0.003


def test_held_out_images_are_in_no_other_set():
    sets = rotated_digits.prepared("digits", 300, 2, False)
    held_out, train, test = (sets[f"{name}upright"][0].flatten(1) for name in ("held out ", "train ", ""))
    assert len(held_out) == 300 and torch.cdist(held_out, torch.cat([train, test])).min() > 0
    assert len(rotated_digits.prepared("digits", 1000, 2, False)["held out rotated"][1]) == 0


def test_the_rivals_of_the_four_parts_have_as_many_parameters_and_the_same_symmetry_or_none(rng):
    made = {arm: make() for arm, (make, _) in four_parts.arms().items()}
    count = lambda arm: sum(p.numel() for p in made[arm].parameters())
    for arm in made.keys() - {"flattened"}:  # whose dense layer has a weight for each place
        assert count("all four parts") <= count(arm) <= 1.065 * count("all four parts"), arm
    x = torch.rand(4, 1, 8, 8, generator=rng)
    errors = {arm: exactness(model, x, four_parts.SPACE) for arm, model in made.items()}
    exact = {arm for arm, error in errors.items() if error <= 1e-12}
    assert exact == {"all four parts", "no nonlinearity", "no local pooling", "plain, averaged"}
    assert min(errors[arm] for arm in errors.keys() - exact) > 1e-3


def test_the_arms_of_shifted_digits_are_exact_or_not_as_they_say(rng):
    made = {arm: make() for arm, (make, _) in shifted_digits.arms().items()}
    x = torch.rand(2, 1, 12, 12, generator=rng)
    exact = {arm for arm, model in made.items() if shifted_digits.exactness(model, x) <= 1e-12}
    assert exact == {"global maximum", "global average", "max-pooling, averaged", "polyphase"}
    count = lambda model: sum(p.numel() for p in model.parameters())
    assert len({count(model) for arm, model in made.items() if "flattened" not in arm}) == 1


@pytest.mark.parametrize("script", [four_parts, shifted_digits])
def test_digits_for_choosing_rates_are_seen_by_no_other_run(script):
    rates, runs = script.prepared(None), [script.prepared(seed) for seed in range(3)]
    name = "upright" if script is four_parts else "middle"
    for judged in [part[name] for part in runs] + [part["train"] for part in (*runs, rates)]:
        assert torch.cdist(rates[name][0].flatten(1), judged[0].flatten(1)).min() > 0
    assert all(torch.cdist(r["train"][0].flatten(1), r[name][0].flatten(1)).min() > 0 for r in runs)


SHORT = ["--epochs", "1", "--seeds", "1"]


@pytest.mark.parametrize(
    ("script", "options", "runs"),
    [
        (four_parts, SHORT, ["plain", "plain", "plain, shown turns", "plain, shown turns"]),
        (shifted_digits, SHORT, ["max-pooling", "max-pooling", "max-pooling, averaged"]),
        (kept_symmetries, [*SHORT, "--examples", "20", "--arms", "circular"], ["circular", "circular"]),
        (four_cubes, ["--steps", "10", "--seeds", "1", "--arms", "dense"], ["dense"]),
        (mirror_patches, SHORT, ["a step of each", "mirror", "mirror", "plain", "plain"]),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_each_script_runs_from_start_to_end_and_only_once(tmp_path, monkeypatch, script, options, runs):
    if script in (four_parts, shifted_digits):
        monkeypatch.setattr(script, "TRAIN", 20)
        some = {arm: made for arm, made in script.arms().items() if arm in runs}
        monkeypatch.setattr(script, "arms", lambda: some)
        script.prepared.cache_clear()
    if script is mirror_patches:
        small = {
            "ARMS": {"mirror": (64, True), "plain": (32, False)},
            "DATA": {"digits": (20, 20, 20, 10, 1)},
        }
        for name, value in (small | {"ROUNDS": 2}).items():
            monkeypatch.setattr(script, name, value)
        script.prepared.cache_clear()
    if script is not four_cubes:
        monkeypatch.setattr(script, "RATES", (0.01,))
    monkeypatch.setattr(sys, "argv", [script.__file__, *options, "--out", str(tmp_path / "out.json")])
    script.main()
    first = (tmp_path / "out.json").read_text(encoding="utf-8")
    assert sorted(record["arm"] for record in json.loads(first)["records"]) == runs
    assert not list((tmp_path / ".cache").iterdir())
    script.main()
    assert (tmp_path / "out.json").read_text(encoding="utf-8") == first  # what is done is not done again
    if script in (four_parts, shifted_digits, mirror_patches):
        script.prepared.cache_clear()


def test_the_arms_of_kept_symmetries_are_of_two_sizes_and_keep_what_they_say(rng):
    x = torch.rand(2, 1, 12, 12, generator=rng, dtype=torch.float64)
    arms = [*kept_symmetries.ARMS, *(arm + kept_symmetries.LONGER for arm in kept_symmetries.SLOW)]
    torch.manual_seed(0)
    made = {arm: kept_symmetries.network(arm).double() for arm in arms}
    count = lambda model: sum(p.numel() for p in model.parameters())
    assert {count(m) for arm, m in made.items() if "flattened" not in arm} == {2650}
    assert {count(m) for arm, m in made.items() if "flattened" in arm} == {25530}
    shifts = range(1, 144, 7)
    errors = {
        arm: max(equivariance_errors(model, x, kept_symmetries.GROUND, elements=shifts).values())
        for arm, model in made.items()
    }
    assert {arm for arm, e in errors.items() if e <= 1e-12} == {
        arm for arm in arms if arm == "circular" or "averaged" in arm
    }
    # The short cut is the mean over all shifts of the network with that dense layer.
    flattened = kept_symmetries.network("flattened").double()
    averaged_ = kept_symmetries.network("flattened, averaged over the shifts").double()
    flattened.load_state_dict(averaged_.state_dict(), strict=False)
    flattened[-1].load_state_dict(averaged_[-1].state_dict())
    mean = sum(flattened(kept_symmetries.GROUND.act(g, x)) for g in range(144)) / 144
    assert torch.allclose(averaged_(x), mean, rtol=0, atol=1e-12)


def test_the_networks_on_patches_are_of_two_sizes_and_one_respects_the_mirror(rng):
    x, counts = torch.rand(2, 1, 8, 8, generator=rng), {}
    for arm in mirror_patches.ARMS:
        model = mirror_patches.network(arm, "digits")
        counts[arm] = sum(p.numel() for p in model.parameters())
        assert (mirror_patches.exactness(model, x) <= 1e-12) == (arm == "mirror"), arm
        assert not torch.allclose(model(x), model(x.flip(3)), atol=1e-3)  # the readout sees which way round
    assert abs(counts["plain, as many parameters"] / counts["mirror"] - 1) < 0.03
    assert 1.9 < counts["plain"] / counts["mirror"] < 2.1
    rates, run = mirror_patches.prepared("digits", None), mirror_patches.prepared("digits", 0)
    for one, other in (
        (rates["test"], run["train"]),
        (rates["test"], run["test"]),
        (run["train"], run["test"]),
    ):
        assert torch.cdist(one[0].flatten(1), other[0].flatten(1)).min() > 0


def test_pictures_are_moved_as_the_group_moves_them(rng):
    x = torch.rand(30, 1, 12, 12, generator=rng)
    rolled = kept_symmetries.rolled(x)
    for before, after in zip(x, rolled, strict=True):
        found = [torch.equal(kept_symmetries.GROUND.act(g, before), after) for g in range(144)]
        assert sum(found) == 1
    assert len({float(picture[0, 0, 0]) for picture in rolled - x}) > 20


@pytest.mark.parametrize("n", [3, 5])
def test_the_wrong_group_is_none_of_the_squares(n):
    wrong, right = wrong_group(n), square_grid(n, dihedral(4))
    symmetries = {tuple(move) for move in right.permutation.tolist()}
    assert [tuple(move) in symmetries for move in wrong.permutation.tolist()] == [True, False, False, False]
    cycles = lambda domain: [len(set(domain.permutation[:, u].tolist())) for u in range(n * n)]
    assert cycles(wrong) == cycles(square_grid(n, wrong.group))  # the centre alone stays
    assert sorted(cycles(wrong)) == [1] + (n * n - 1) * [4]


def test_pooling_on_hexagons_is_the_mean_of_seven(rng):
    x = torch.rand(2, 3, 11, 11, generator=rng, dtype=torch.float64)
    pooled = rotated_digits.HexagonalPool()(x)
    around = hexagonal_grid(3).points
    for q, r in np.ndindex(5, 5):
        seven = torch.stack([x[..., 2 * q + 1 + i, 2 * r + 1 + j] for i, j in around.tolist()])
        assert torch.allclose(pooled[..., q, r], seven.mean(0), rtol=1e-12, atol=0)


def test_the_sets_do_not_overlap_and_all_arms_see_the_same_images():
    small, large, hexagons = (
        rotated_digits.prepared("digits", n, 3, h) for n, h in ((50, False), (1000, False), (50, True))
    )
    assert torch.equal(small["train rotated"][0], large["train rotated"][0][:50])
    assert torch.equal(small["any angle"][1], hexagons["any angle"][1])
    train, test = (large[name][0].flatten(1) for name in ("train upright", "upright"))
    assert len(train) == 1000 and len(test) == 797
    assert torch.cdist(train, test).min() > 0  # no image is in both
    ink = lambda x: x.sum((1, 2, 3))
    lost = (ink(large["train rotated"][0]) / ink(large["train upright"][0]) - 1).abs()
    assert lost.max() < 0.02  # a turn by any angle keeps the ink
    assert torch.allclose(ink(small["turned"][0]), ink(small["upright"][0]))
    assert not torch.equal(small["turned"][0], small["upright"][0])


@pytest.mark.parametrize(
    ("more", "words"),
    [(["--examples", "1001"], "there are 1000"), (["--training", "upside-down"], "upside-down")],
)
def test_bad_input_is_named(tmp_path, monkeypatch, capsys, quick, more, words):
    options = [*OPTIONS, "--out", str(tmp_path / "out.json"), *more]
    monkeypatch.setattr(sys, "argv", ["rotated_digits.py", *options])
    with pytest.raises(SystemExit) as stopped:
        rotated_digits.main()
    assert words in str(stopped.value) + capsys.readouterr().err


def test_out_of_time_and_other_settings(tmp_path, monkeypatch, capsys, quick):
    options = [*OPTIONS, "--out", str(tmp_path / "out.json")]
    call = lambda *more: (
        monkeypatch.setattr(sys, "argv", ["rotated_digits.py", *options, *more]),
        rotated_digits.main(),
    )
    call("--minutes", "0")
    assert "out of time\ncall again" in capsys.readouterr().out and not (tmp_path / "out.json").exists()
    call("--arms", "CNN", "--steps", "2")
    assert "all done" in capsys.readouterr().out and len(records(tmp_path)) == 2
    call("--arms", "CNN", "--steps", "2")
    assert len(records(tmp_path)) == 2  # what is done is not done again
    with monkeypatch.context() as patch, pytest.raises(SystemExit, match="was made with"):
        patch.setattr(rotated_digits, "BATCH", 10)
        call()
    for foreign in ("", "no JSON", "[1, 2]", '{"settings": {}}'):
        (tmp_path / "out.json").write_text(foreign, encoding="utf-8")
        with pytest.raises(SystemExit, match="holds no results"):
            call()


@pytest.fixture
def tiny(monkeypatch):
    """Noise in the place of MNIST: 60 images to train, 20 to watch, 20 to test."""
    images = torch.rand(100, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(error_against_time, "dataset", lambda data: (images, torch.arange(100) % 10))
    monkeypatch.setattr(error_against_time, "SPLIT", (60, 20, 20))


HOW = arguments("").parse_args([])


def curve(folder, seed=0):
    """The errors on the way of one network, trained in four epochs of two batches."""
    runs = [{"arm": "CNN", "seed": seed, "epochs": 4, "learning_rate": 1e-2}]
    results = Results(folder / "out.json", {})
    assert run_all(results, runs, error_against_time.run, how=HOW, batch_size=50)
    (record,) = results.records
    seconds, errors = zip(*record["seconds and error, watched"], strict=True)
    assert list(seconds) == sorted(seconds) and record["parameters"] > 70_000
    return errors


def test_an_interrupted_run_keeps_its_curve(tmp_path, tiny, monkeypatch):
    for name in ("whole", "killed", "other"):
        (tmp_path / name).mkdir()
    whole, calls, turned_anew = curve(tmp_path / "whole"), iter(range(5)), error_against_time.turned_anew

    def interrupted(x):
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return turned_anew(x)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(error_against_time, "turned_anew", interrupted)
        curve(tmp_path / "killed")
    assert not (tmp_path / "killed" / "out.json").exists()
    assert curve(tmp_path / "killed") == whole and len(whole) == 4
    assert curve(tmp_path / "other", seed=1) != whole  # the control


def test_all_arms_against_time_have_equal_numbers_of_parameters():
    counts = [
        sum(p.numel() for p in error_against_time.network(order, widths).parameters())
        for order, widths, _ in error_against_time.ARMS.values()
    ]
    assert (
        max(counts) < 1.05 * min(counts)
        and error_against_time.EPOCHS.keys() == error_against_time.ARMS.keys()
    )


def record_faults(content):
    """What is missing in the results of an experiment: the machine, the versions, how long, and which seeds."""
    machine, versions = content.get("machine", {}), content.get("versions", {})
    faults = [f"no {k}" for k in ("processor", "cores", "system", "threads") if k not in machine]
    faults += [f"no version of {k}" for k in ("python", "torch", "numpy") if k not in versions]
    faults += [f"no {k}" for k in ("date", "command", "duration_s", "settings") if k not in content]
    return faults + [f"record {i}: no seed" for i, r in enumerate(content["records"]) if "seed" not in r]


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_what_is_committed_says_how_it_was_made(path):
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["records"] and record_faults(content) == []
    spoilt = content | {"machine": {}, "records": [{}]}  # the control
    assert len(record_faults(spoilt)) == 5


def test_the_readers_of_four_cubes_are_of_one_size_and_each_respects_its_group(rng):
    """A stretched third axis makes other maps of the same group: right and wrong twins swap their errors."""
    x, wrong = torch.randn(2, 3, 4, generator=rng), four_cubes.turns_of_a_cube(four_cubes.STRETCH)
    counts = []
    for arm, (make, _, _) in four_cubes.ARMS.items():
        torch.manual_seed(0)
        model = make()
        counts.append(sum(p.numel() for p in model.parameters()))
        errors = [
            max(float((model(s.act(g, x)) - model(x)).norm() / model(x).norm()) for g in range(24))
            for s in (four_cubes.turns_of_a_cube(), wrong)
        ]
        right_holds, wrong_holds = ("averaged" in arm or "E(n)" in arm) and "wrong" not in arm, "wrong" in arm
        assert [e < 1e-4 for e in errors] == [right_holds, wrong_holds], (arm, errors)
    assert max(counts) < 1.03 * min(counts)


def test_turns_of_four_cubes_are_turns():
    turns = four_cubes.random_turns(50, torch.Generator().manual_seed(0))
    assert torch.allclose(turns @ turns.transpose(1, 2), torch.eye(3).expand(50, 3, 3), atol=1e-5)
    assert torch.allclose(torch.linalg.det(turns), torch.ones(50), atol=1e-5)


@pytest.fixture
def few(monkeypatch):
    """Noise in the place of MNIST, and five images turned to five angles."""
    images = torch.rand(100, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(any_angle, "dataset", lambda data: (images, torch.arange(100) % 10))
    for name, value in {
        "SPLIT": (40, 20, 20, 20), "STEPS": {20: 2, 40: 2}, "RATES": (0.01,), "TUNING": {"examples": 20, "seed": 100}, "CIRCLE": 5, "ANGLES": [0, 45, 90, 180, 270],
    }.items():  # fmt: skip
        monkeypatch.setattr(any_angle, name, value)
    any_angle.prepared.cache_clear()
    yield images
    any_angle.prepared.cache_clear()


def test_the_networks_for_any_angle_are_of_one_size_and_exact_under_quarter_turns(rng):
    x, counts = torch.rand(2, 1, 28, 28, generator=rng), {}
    for name, arm in any_angle.arms().items():
        torch.manual_seed(0)
        model = arm.model()
        counts[name] = sum(p.numel() for p in model.parameters())
        error = exactness(model, x, any_angle.QUARTERS)
        assert error > 1e-3 if name == "CNN" else error < 1e-12, name
    assert max(counts.values()) < 1.05 * min(counts.values()), counts


def test_images_at_any_angle_are_in_one_set_each_and_turned_once(few):
    sets, circle = any_angle.prepared(3)
    assert [len(labels) for _, labels in sets] == [40, 20, 20, 20]
    everything = torch.cat([x for x, _ in sets]).flatten(1)
    assert torch.pdist(everything).min() > 0
    assert torch.equal(any_angle.prepared(3)[0][0][0], sets[0][0])  # the same angle whenever it is seen
    test_labels = sets[2][1][:5]  # the circle's first are test images as they are in the data
    same = torch.tensor([[torch.allclose(c, x, atol=1e-5) for x in few] for c in circle[0]])
    assert same.sum(1).tolist() == [1] * 5 and torch.equal(same.byte().argmax(1) % 10, test_labels)
    for quarters, turned in ((1, circle[2]), (2, circle[3]), (3, circle[4])):
        assert torch.allclose(turned, any_angle.QUARTERS.act(quarters, circle[0]), atol=1e-5)
    assert not torch.allclose(circle[1], circle[0], atol=0.1)


def test_what_happens_round_the_circle_is_measured_image_by_image(rng):
    circle, labels = torch.rand(3, 4, 1, 2, 5, generator=rng), torch.tensor([1, 2, 3, 4])
    found = any_angle.round_the_circle(lambda images: images.flatten(1), circle, labels)
    for angle in range(3):
        scores = [[circle[a, i].flatten() for i in range(4)] for a in (0, angle)]
        wrong = sum(int(s.argmax()) != int(label) for s, label in zip(scores[1], labels, strict=True))
        change = sum(float((b - a).norm() / a.norm()) for a, b in zip(*scores, strict=True)) / 4
        assert (
            found["error"][angle] == wrong / 4 and abs(found["change"][angle] - change) < 0.01 * change + 1e-9
        )
    assert found["change"][0] == 0 < min(found["change"][1:])


@pytest.mark.parametrize(
    "options",
    [["--arms", "p4", "C8", "--seeds", "1"], ["--long", "CNN", "--widths", "2,3,4", "--epochs", "2"]],
)
def test_the_networks_for_any_angle_run_from_start_to_end(tmp_path, monkeypatch, few, options):
    monkeypatch.setattr(sys, "argv", ["any_angle.py", *options, "--out", str(tmp_path / "out.json")])
    any_angle.main()
    found = records(tmp_path)
    if "--long" in options:
        assert len(found) == 1 and len(found[0]["curve"]) == 2
    else:  # the rates, then for each size each arm
        assert [(r["arm"], r["examples"], r["seed"]) for r in found] == [
            (arm, n, seed) for n, seed in ((20, 100), (20, 0), (40, 0)) for arm in ("p4", "C8")
        ]
    for record in found[-2:]:
        assert len(record["circle"]["error"]) == 5 and record["circle"]["change"][0] == 0
        assert (record["circle"]["change"][2] < 1e-4) == ("--long" not in options)
    any_angle.main()
    assert records(tmp_path) == found


def test_the_rate_for_any_angle_is_chosen_by_watched_images_and_one_seed():
    record = lambda rate, watched, **more: (
        {"arm": "p4", **any_angle.TUNING, "learning_rate": rate, "watched": watched, "error": -watched} | more
    )
    others = [record(0.3, 0, seed=0), record(0.3, 0, arm="C8"), record(0.3, 0, examples=10_000)]
    assert any_angle.best_rate([*others, record(0.1, 0.2), record(0.2, 0.1)], "p4") == 0.2


@pytest.fixture
def bound(tmp_path, monkeypatch):
    """Random letters in the place of the peaks, and of RNA of eight chromosomes, one of them too large for a test."""
    random = np.random.default_rng(0)
    pieces = lambda n: ["".join(row) for row in random.choice(list("ACGT"), (n, 101))]
    rows = [f"A\tseq_{i:05}_peak\t{piece}\t1\n" for i, piece in enumerate(pieces(40))]
    (tmp_path / "TEAD4_peaks.seq.gz").write_text(binding.PEAKS + "\n" + "".join(rows))
    chromosomes = [1, *range(2, 9), *[8] * 20] * 3
    lines = [
        f"> chr{c},+,{i},{i + 100}; class:{i % 3 % 2}\n{piece}\n"
        for i, (c, piece) in enumerate(zip(chromosomes, pieces(len(chromosomes)), strict=True))
    ]
    (tmp_path / "HNRNPC_clip.fa.gz").write_text("".join(lines) + f"> chr1,-,1,101; class:0\n{'n' * 101}\n")
    monkeypatch.setenv("GDL_DNA", str(tmp_path))
    for name, value in {
        "DATA": ("TEAD4", "HNRNPC"), "SPLIT": {"watched": 5, "test": 8}, "RATES": (0.01,), "TUNING": {"examples": 20, "seed": 100},
        "STEPS": {20: 2, "all": 3}, "SEEDS": {20: 2, "all": 1},
    }.items():  # fmt: skip
        monkeypatch.setattr(binding, name, value)
    binding.dataset.cache_clear(), binding.prepared.cache_clear()
    yield tmp_path
    binding.dataset.cache_clear(), binding.prepared.cache_clear()


def test_the_networks_on_strands_are_of_one_size_and_two_are_exact_under_the_other_strand(rng):
    x, counts, exact = torch.rand(2, 1, 4, 101, generator=rng), {}, set()
    for name, arm in binding.arms().items():
        torch.manual_seed(0)
        model = arm.model()
        counts[name] = sum(p.numel() for p in model.parameters())
        error = exactness(model, x, binding.both_strands(101))
        assert error < 1e-12 or error > 1e-3, name
        exact |= {name} if error < 1e-12 else set()
    assert exact == {"averaged", "reverse complement"}
    assert max(counts.values()) < 1.05 * min(counts.values()) and max(counts.values()) <= 4_000, counts


@pytest.mark.parametrize(
    ("arm", "move"), [("reversal alone", lambda x: x.flip(3)), ("complement alone", lambda x: x.flip(2))]
)
def test_each_wrong_group_on_strands_is_respected_as_its_name_says(rng, arm, move):
    x = torch.rand(2, 1, 4, 101, generator=rng, dtype=torch.float64)
    model = binding.arms()[arm].model().double().eval()
    assert torch.allclose(model(move(x)), model(x), rtol=1e-12, atol=0)
    assert not torch.allclose(model(x.flip(2, 3)), model(x), rtol=1e-3)


def test_a_piece_and_its_control_are_on_one_side_and_those_watched_are_always_the_same(bound):
    sequences, labels, together = binding.dataset("TEAD4")
    assert len(sequences) == 80 and labels.tolist() == [1, 0] * 40
    pairs = lambda s: sorted(a + b for a, b in pairwise(s))
    assert all(pairs(a) == pairs(b) for a, b in zip(sequences[::2], sequences[1::2], strict=True))
    sides = [binding.split(together, seed) for seed in (0, 1, 100)]
    for rows in sides:
        assert torch.cat(list(rows.values())).sort().values.tolist() == list(range(80))  # each in one set
        assert {name: len(which) for name, which in rows.items()} == {"watched": 6, "test": 8, "train": 66}
        for which in rows.values():
            assert together[which].unique(return_counts=True)[1].tolist() == [2] * (len(which) // 2)
        assert torch.equal(rows["watched"], sides[0]["watched"])
    assert not torch.equal(sides[0]["test"], sides[1]["test"])
    x, y = binding.prepared("TEAD4", 0)["train"]
    row = int(sides[0]["train"][3])
    assert torch.equal(x[3:4], binding.one_hot([sequences[row]])) and y[3] == labels[row]


def test_rna_is_split_by_chromosome_and_without_what_is_not_known(bound):
    sequences, labels, together = binding.dataset("HNRNPC")
    assert len(sequences) == len(labels) == 84 and not any("n" in sequence for sequence in sequences)
    assert together[:8].tolist() == list(range(8)) and together[28:36].tolist() == list(range(8))
    for seed in range(5):
        rows = binding.split(together, seed)
        found = {name: set(together[which].tolist()) for name, which in rows.items()}
        assert {name: len(which) for name, which in rows.items()} == {"watched": 6, "test": 9, "train": 69}
        assert sorted(c for side in found.values() for c in side) == list(range(8))
        assert 7 in found["train"]  # it holds more than a test needs


def test_other_strands_in_training_are_those_of_the_helix(rng):
    x, seen = torch.rand(1, 1, 4, 6, generator=rng).expand(200, -1, -1, -1), []
    model = lambda batch: seen.append(batch) or batch.flatten(1)[:, :1]
    binding.either_strand(model, x, torch.zeros(200).long())
    behind = [torch.equal(signal, x[0].flip(1, 2)) for signal in seen[0]]
    assert [torch.equal(signal, x[0]) for signal in seen[0]] == [not b for b in behind]
    assert 60 < sum(behind) < 140


def test_what_a_network_says_of_both_strands_is_counted():
    first = lambda signals: signals[:, 0, 0, :1] - 0.5  # is the first letter an A?
    model = torch.nn.Module()
    model.forward = first
    x = binding.one_hot(["AAT", "AAC", "CAT", "CAC"])
    found = binding.judged(model, x, torch.tensor([1, 1, 0, 0]))
    # The other strands are ATT, GTT, ATG and GTG: the second and the third have another first letter.
    assert found == {"auc": 1.0, "auc averaged at test": 0.875, "flips": 0.5}


def test_letters_are_counted_without_a_network(monkeypatch):
    known = ["TTTAACN", "GGTTTT", "TTTTTA", "AAAAAT"], torch.tensor([1, 0, 1, 0]), torch.tensor([0, 0, 1, 1])
    with monkeypatch.context() as patch:
        patch.setattr(binding, "dataset", lambda data: known)
        patch.setattr(binding, "split", lambda *_: {"test": torch.arange(4)})
        found = binding.letters(None, "TEAD4", "letters", 0)
    words = {word: n for word, n in found["words"].items() if n}
    assert words == {"TTT": 4, "TTA": 2, "TAA": 1, "AAC": 1} and len(found["words"]) == 64
    assert found["longest run"] == {"T": 0.75, "A": 0.5, "T or A": 0.375}


def test_the_filter_that_a_network_misses_most_is_found_on_both_strands(monkeypatch, rng):
    """Of a network that was made to know one word: what it answers to is that word, whichever strand it stands on."""
    word = "ACATTCCAGTTGACC"  # as wide as a filter
    letters = "".join("ACGT"[i] for i in torch.randint(4, (86,), generator=rng))
    behind = binding.one_hot([word + letters]).flip(2, 3)
    x = torch.cat(
        [
            binding.one_hot([letters[:40] + word + letters[40:]]),
            behind,
            binding.one_hot([letters + "A" * 15] * 2),
        ]
    )
    model = binding.arms()["reverse complement"].model().eval()
    for parameter in model.parameters():
        parameter.data.zero_()
    (lift, norm), (conv, out) = model[0], model[2]
    lift.weight.data[3] = binding.one_hot([word])[0].view_as(lift.weight[3])
    norm.weight.data[3] = conv.weight.data[5, 3] = out.weight.data[5] = model[-1].weight.data[0, 5] = 1
    monkeypatch.setattr(binding, "taught", lambda *_, **__: (model, {}))
    monkeypatch.setattr(binding, "prepared", lambda *_: {"watched": (x, torch.tensor([1, 1, 0, 0]))})
    found = binding.most_missed(None, "TEAD4", "filter", "reverse complement", 0, 0.01)
    assert (found["auc"], found["auc without"]) == (1, 0.5)
    wanted = binding.one_hot([word])[0, 0].tolist()
    assert found["weights"] == wanted and found["windows"] == [[2 * n for n in row] for row in wanted]


def test_the_rate_for_binding_is_chosen_by_watched_sequences_of_the_same_protein():
    record = lambda rate, watched, **more: (
        {"data": "USF1", "arm": "plain", **binding.TUNING, "learning_rate": rate, "watched": watched} | more
    )
    others = [record(0.3, 1, seed=0), record(0.3, 1, arm="averaged"), record(0.3, 1, data="TEAD4")]
    others += [record(0.3, 1, examples=500)]
    tried = [record(0.1, 0.8, auc=0.9), record(0.2, 0.9, auc=0.8)]
    assert binding.best_rate([*others, *tried], "USF1", "plain") == 0.2


def call_binding(monkeypatch, folder, *options):
    monkeypatch.setattr(sys, "argv", ["binding.py", *options, "--out", str(folder / "out.json")])
    binding.main()


def test_binding_runs_from_start_to_end_and_only_once(bound, monkeypatch):
    options = "--data", "TEAD4", "HNRNPC", "--arms", "augmented", "averaged"
    call_binding(monkeypatch, bound, *options)
    first = (bound / "out.json").read_text(encoding="utf-8")
    found = records(bound)
    assert [r["arm"] for r in found] == ["augmented", "averaged"] * 2 + ["letters"] * 2 + [
        "augmented", "averaged",
    ] * 6  # fmt: skip
    assert [(r["data"], r["examples"], r["seed"], r["trained"]) for r in found[6::2]] == [
        *[("TEAD4", 20, 0, 20), ("TEAD4", 20, 1, 20), ("TEAD4", "all", 0, 66)],
        *[("HNRNPC", 20, 0, 20), ("HNRNPC", 20, 1, 20), ("HNRNPC", "all", 0, 69)],
    ]
    for record in found[7::2]:  # averaged
        assert record["auc"] == record["auc averaged at test"] and record["flips"] == 0
        assert max(record["exactness"].values()) < 1e-12
    assert min(record["exactness"]["after"] for record in found[6::2]) > 1e-3
    assert not list((bound / ".cache").iterdir())
    call_binding(monkeypatch, bound, *options)
    assert (bound / "out.json").read_text(encoding="utf-8") == first


def test_another_file_is_read_by_a_network_that_is_trained_once(bound, monkeypatch, capsys):
    table, fasta = bound / "table.seq", bound / "other.fa"
    piece = "ACGTTGCAAT" * 10
    table.write_text(f"{binding.PEAKS}\nB\t1\t{piece}C\t1\nB\t2\t{piece[::-1]}\t0\n")
    fasta.write_text(f">x; class:0\n{piece}\n>y; class:1\nGATTACA\n")
    read = lambda file, arm: call_binding(
        monkeypatch, bound, "--data", "TEAD4", "--arm", arm, "--evaluate", str(file)
    )
    for arm in ("averaged", "reverse complement"):
        said = []
        for file in (table, table, fasta):
            read(file, arm)
            said.append(capsys.readouterr().out.splitlines())
            assert said[-1][-3].endswith(f"2 sequences of {file}, 1 of class 1")
            assert said[-1][-1].startswith("0.00%")
        assert said[0][-3:] == said[1][-3:] and len(said[1]) == 3  # the second time nothing is trained
    assert len(records(bound)) == 2 and len(list((bound / ".cache").iterdir())) == 2
    for content, words in (
        (">x; class:2\nACG\n>y; class:1\nACG\n", "the class '2'"),
        (">x; class:1\nACG\n", "class 1 only"),
        (">x\nACG\n", "class 'none'"),
        (">x; class:1\nMKLVE\n>y; class:0\nACG\n", "protein"),
        (f"{binding.PEAKS}\nB\tACG\t1\n", "the class \"\\['B'"),
    ):
        fasta.write_text(content)
        with pytest.raises(SystemExit, match=words):
            read(fasta, "averaged")
    with pytest.raises(SystemExit, match="no_file"):
        read(bound / "no_file", "averaged")
    with pytest.raises(SystemExit):
        call_binding(monkeypatch, bound, "--evaluate", str(table))
    assert "one --arm" in capsys.readouterr().err


def test_the_networks_for_planted_words_are_of_one_size_and_exact_or_not_as_they_say(rng):
    x, space, counts, exact = torch.randn(3, 1, 4, 40, generator=rng), binding.both_strands(40), set(), set()
    for arm in planted_words.ARMS:
        torch.manual_seed(0)
        model = planted_words.made(arm, 8, 40)
        counts |= {sum(p.numel() for p in model.parameters())}
        error = exactness(model, x, space)
        assert error < 1e-12 or error > 1e-4, arm
        exact |= {arm} if error < 1e-12 else set()
    assert exact == {"averaged", "reverse complement"} and len(counts) == 1


def test_the_trials_of_planted_words_run_from_start_to_end(tmp_path, monkeypatch):
    for name, value in {"CASES": [("filters of 12, empty ends", 4)], "STEPS": 2, "TEST": 20}.items():
        monkeypatch.setattr(planted_words, name, value)
    seen = []
    monkeypatch.setattr(
        planted_words, "one_hot", lambda some, *length: seen.append(some) or one_hot(some, *length)
    )
    monkeypatch.setattr(
        sys, "argv", ["planted_words.py", "--seeds", "2", "--out", str(tmp_path / "out.json")]
    )
    planted_words.main()
    found = records(tmp_path)
    assert [(r["word"], r["seed"]) for r in found] == [(w, s) for s in (0, 1) for w in planted_words.WORDS]
    exact = {"word", "form", "examples", "seed", *planted_words.ARMS}
    assert all(r.keys() == exact | {"plain, averaged at test", "augmented, averaged at test"} for r in found)
    plain, chosen = seen[:2], seen[6:8]  # of the first case, known and new
    assert [list(map(planted_words.chosen_strand, some)) for some in plain] == chosen
    planted_words.main()
    assert records(tmp_path) == found


@pytest.mark.parametrize("data", list(volumes.DATA))
def test_the_networks_on_volumes_are_of_one_size_and_exact_or_not_as_they_say(data, rng):
    x, counts, exact = torch.rand(2, 1, 16, 16, 16, generator=rng), {}, set()
    for name in volumes.arms(data):
        torch.manual_seed(0)
        model = volumes.made(data, name)
        counts[name] = sum(p.numel() for p in model.parameters())
        error = exactness(model, x, volumes.ground(data))
        assert error < 1e-12 or error > 1e-4, name
        exact |= {name} if error < 1e-12 else set()
    of_cubes = {"O", "O, mean", "Oh", "Oh, sign"} & counts.keys()
    assert exact == {"averaged"} | ({"D4h"} if data == "spots, squeezed" else of_cubes)
    assert max(counts.values()) < 1.05 * min(counts.values()) and max(counts.values()) <= 25_000, counts


def test_oh_cannot_tell_a_screw_from_its_mirror_image_and_o_can(rng):
    x = torch.rand(2, 1, 16, 16, 16, generator=rng, dtype=torch.float64)
    errors, opposite = {}, {}
    for arm in ("O", "Oh", "Oh, sign"):
        torch.manual_seed(0)
        model = volumes.made("screws", arm).double().eval()
        here, there = volumes.scores(model, x), volumes.scores(model, x.flip(-1))
        errors[arm], opposite[arm] = (float((there - f * here).norm() / here.norm()) for f in (1, -1))
    assert errors["Oh"] < 1e-12 and errors["O"] > 1e-4 and errors["Oh, sign"] > 1
    assert opposite["Oh, sign"] < 1e-12 and opposite["O"] > 1e-4


@pytest.mark.parametrize("group", [octahedral(), prismatic(4)], ids=lambda group: group.name)
@pytest.mark.parametrize("side", [3, 4])
def test_the_wrong_group_is_none_of_the_cubes(group, side):
    right, wrong = cubic_grid(side, group), scrambled(cubic_grid(side, group))
    symmetries = {tuple(move) for move in cubic_grid(side, octahedral(True)).permutation.tolist()}
    assert [tuple(move) in symmetries for move in wrong.permutation.tolist()] == [True] + [False] * (
        len(group) - 1
    )
    cycles = lambda domain: sorted(len(set(moves)) for moves in domain.permutation.T.tolist())
    assert cycles(wrong) == cycles(right)


def test_the_ceiling_is_that_of_lengths_in_voxels():
    cubes, squeezed = volumes.ceiling((1, 1, 1), 2_000), volumes.ceiling(n=20_000)
    assert cubes == {"accuracy": 1, "AUC": 1}  # all turns keep lengths
    assert 0.935 < squeezed["accuracy"] < 0.945 and 0.984 < squeezed["AUC"] < 0.988


@pytest.fixture
def small(monkeypatch):
    for name, value in {
        "SPLIT": (20, 10, 12), "EXAMPLES": {"nodules": (10, 20)}, "RATES": (0.01,),
        "DATA": {name: volumes.DATA[name] for name in ("nodules", "spots, squeezed")},
    }.items():  # fmt: skip
        monkeypatch.setattr(volumes, name, value)
    volumes.prepared.cache_clear()
    yield
    volumes.prepared.cache_clear()


def test_the_networks_on_volumes_run_from_start_to_end(tmp_path, monkeypatch, small):
    options = ["--arms", "augmented", "D4h", "O", "--seeds", "1", "--steps", "2"]
    monkeypatch.setattr(sys, "argv", ["volumes.py", *options, "--out", str(tmp_path / "out.json")])
    volumes.main()
    found = records(tmp_path)
    assert [(r["data"], r["arm"], r["examples"], r["seed"]) for r in found] == [
        ("nodules", arm, n, seed) for n, seed in ((20, 100), (10, 0), (20, 0)) for arm in ("augmented", "O")
    ] + [("spots, squeezed", arm, 20, seed) for seed in (100, 0) for arm in ("augmented", "D4h", "O")]
    assert all(("averaged at test" in r) == (r["arm"] == "augmented") for r in found)
    volumes.main()
    assert records(tmp_path) == found


def test_averaged_takes_the_rate_of_augmented(tmp_path, monkeypatch, small):
    monkeypatch.setattr(volumes, "SEEDS", {"averaged": 1})
    options = ["--data", "nodules", "--arms", "averaged", "--seeds", "2", "--steps", "2"]
    monkeypatch.setattr(sys, "argv", ["volumes.py", *options, "--out", str(tmp_path / "out.json")])
    volumes.main()
    found = [(r["arm"], r["examples"], r["seed"]) for r in records(tmp_path)]
    assert found == [("augmented", 20, 100), ("averaged", 10, 0), ("averaged", 20, 0)]


def test_the_rate_for_volumes_is_chosen_by_watched_volumes_after_as_many_steps():
    record = lambda rate, area, **more: (
        {"data": "screws", "arm": "augmented", "seed": volumes.TUNING_SEED, "steps": 750}
        | {"learning_rate": rate, "watched": {"AUC": area}, "AUC": -area}
        | more
    )
    others = [
        record(0.3, 1, **more) for more in ({"steps": 3_000}, {"seed": 0}, {"arm": "O"}, {"data": "nodules"})
    ]
    tried = [*others, record(0.1, 0.8), record(0.03, 0.9), record(0.02, 0.9)]
    assert volumes.best_rate(tried, "screws", "augmented", 750) == 0.02  # of equals the smallest
    assert volumes.best_rate(tried, "screws", "averaged", 750) == 0.02  # takes that of augmented
    assert volumes.best_rate(tried, "screws", "augmented", 3_000) == 0.3


def test_the_sets_of_volumes_do_not_overlap(small):
    sets = [part for seed in (0, 1, 100) for part in volumes.prepared("spots, squeezed", seed)]
    assert [len(y) for _, y in sets] == 3 * [20, 10, 12]
    assert torch.pdist(torch.cat([x for x, _ in sets]).flatten(1)).min() > 0


@pytest.fixture
def glands(tmp_path, monkeypatch):
    """Balls, of which some are as long again along an axis, in a file of the official form."""
    random, made = np.random.default_rng(0), {}
    places = np.stack(np.meshgrid(*[np.arange(28) - 13.5] * 3, indexing="ij"), -1)
    for split, n in {"train": 30, "val": 12, "test": 10}.items():
        labels = np.arange(n) % 2
        axes = random.uniform(3, 5, (n, 3)) * np.where(
            labels[:, None] * np.eye(3)[random.integers(3, size=n)], 2, 1
        )
        inside = ((places / axes[:, None, None, None]) ** 2).sum(-1) < 1
        made |= {f"{split}_images": np.uint8(255 * inside), f"{split}_labels": np.uint8(labels)[:, None]}
    np.savez(tmp_path / "glands.npz", **made)
    monkeypatch.setenv("GDL_ADRENAL", str(tmp_path / "glands.npz"))
    for name, value in {"RATES": (0.01,), "CASES": 2}.items():
        monkeypatch.setattr(adrenal, name, value)
    adrenal.prepared.cache_clear(), adrenal.turned.cache_clear(), adrenal.regression.cache_clear()
    yield tmp_path
    adrenal.prepared.cache_clear(), adrenal.turned.cache_clear(), adrenal.regression.cache_clear()


def test_the_networks_on_glands_are_of_one_size_and_exact_or_not_as_they_say(glands):
    counts, exact = {}, set()
    for name in adrenal.arms():
        for pooling in ("maximum",) if name in ("CNN", "augmented", "averaged") else ("maximum", "mean"):
            torch.manual_seed(0)
            model = adrenal.made(name, pooling).eval()
            counts[name] = sum(p.numel() for p in model.parameters())
            if name != "averaged":  # which takes its time, and is tested with all models
                moved = adrenal.network_moves(model)
                assert moved["24 turns"] < 1e-10 or moved["24 turns"] > 1e-2, (name, moved)
                assert min(moved["15°"], moved["30°"]) > 1e-2, (name, moved)
                exact |= {name} if moved["24 turns"] < 1e-10 else set()
    assert exact == {"O", "Oh", "O, any rotation"}
    assert max(counts.values()) < 1.05 * min(counts.values()) and max(counts.values()) <= 50_000, counts


def test_the_networks_on_glands_run_from_start_to_end(glands, monkeypatch, capsys):
    out = ["--out", str(glands / "out.json")]
    options = ["--arms", "mean thickness", "augmented", "O", "--seeds", "1", "--steps", "2"]
    monkeypatch.setattr(sys, "argv", ["adrenal.py", *options, *out])
    adrenal.main()
    found = records(glands)
    assert [(r["arm"], r.get("pooling"), r["seed"]) for r in found[:-1]] == [
        ("mean thickness", None, 0), ("augmented", "maximum", 100), ("O", "maximum", 100), ("O", "mean", 100),
        ("augmented", "maximum", 0),
    ]  # fmt: skip
    chosen = max(found[2:4], key=lambda r: r["watched"])
    assert found[-1]["pooling"] == chosen["pooling"] and found[-1]["moves"]["24 turns"] < 1e-10
    assert found[-2]["moves"]["24 turns"] > 1e-4 and "averaged at test" in found[-2]
    assert found[0]["moves"]["24 turns"] < 1e-10 < found[0]["moves"]["30°"]
    adrenal.main()
    assert records(glands) == found
    # Another file, by the weights that were kept, and by others that are made anew: the same numbers.
    more = ["--evaluate", str(glands / "glands.npz"), "--arms", "O", "mean thickness", "--seeds", "1"]
    capsys.readouterr(), monkeypatch.setattr(sys, "argv", ["adrenal.py", *more, *out])
    adrenal.main()
    first = capsys.readouterr().out
    assert "10 cases of 'test'" in first and "\nO: AUC " in first and "\nmean thickness: AUC " in first
    (kept,) = (glands / ".cache").glob("*O*weights.pt")
    kept.unlink()
    adrenal.main()
    assert capsys.readouterr().out == first and kept.exists()
    monkeypatch.setattr(sys, "argv", ["adrenal.py", *more, "--arms", "D4", *out])
    with pytest.raises(SystemExit, match="no rate has been chosen for D4"):
        adrenal.main()


def test_an_arm_that_takes_the_choice_of_another(glands, monkeypatch):
    options = ["--arms", "O, any rotation", "--seeds", "1", "--steps", "2", "--out", str(glands / "out.json")]
    monkeypatch.setattr(sys, "argv", ["adrenal.py", *options])
    adrenal.main()
    tried, last = records(glands)[:-1], records(glands)[-1]
    assert [(r["arm"], r["seed"]) for r in tried] == 2 * [("O", 100)]
    assert (last["arm"], last["seed"]) == ("O, any rotation", 0)
    assert last["pooling"] == max(tried, key=lambda r: r["watched"])["pooling"]


def test_shape_numbers_are_those_of_the_shape_and_no_turn_changes_them(rng):
    box = np.zeros((9, 9, 9), dtype=bool)
    box[1:8, 2:7, 3:6] = True
    number = dict(zip(adrenal.NUMBERS, adrenal.shape_numbers(box), strict=True))
    assert number["voxels"] == 105 and number["faces"] == 2 * (35 + 21 + 15) and number["Euler number"] == 1
    assert number["its maximum"] == 2 and number["longest axis"] == pytest.approx((4 * 105 / 104) ** 0.5)
    holed, hollow = box.copy(), box.copy()
    holed[:, 4, 4], hollow[4, 4, 4] = False, False
    assert [adrenal.euler_number(mask) for mask in (holed, hollow)] == [0, 2]
    two = box.copy()
    two[4] = False
    assert adrenal.euler_number(two) == 2
    space = adrenal.SignalSpace(cubic_grid(9, octahedral(True)))
    shape = (torch.rand(9, 9, 9, generator=rng) < 0.3).double()
    numbers = [adrenal.shape_numbers(space.act(g, shape).numpy() > 0) for g in range(48)]
    assert np.allclose(numbers, numbers[0], rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", list(page_networks.WIDTHS))
def test_a_page_s_network_is_what_was_trained_rounded_to_sixteen_bits(name, rng):
    order, widths = 4 if name == "p4" else 1, page_networks.WIDTHS[name]
    torch.manual_seed(0)
    trained = page_networks.network(order, widths)
    trained(torch.rand(20, 1, 28, 28, generator=rng))  # so that the normalisation has seen something
    trained.eval()
    spec = page_networks.written(trained, order, widths)
    again, x = page_networks.read(spec), torch.rand(5, 1, 28, 28, generator=rng)
    assert sum(p.numel() for p in again.parameters()) == sum(p.numel() for p in trained.parameters())
    assert torch.allclose(again(x), trained(x), rtol=0, atol=0.01)
    with torch.no_grad():
        turns = torch.stack([again.double()(x.double().rot90(k, (2, 3))) for k in range(4)])
    apart = float((turns - turns[0]).abs().max())
    assert apart < 1e-12 if name == "p4" else apart > 1e-3


def test_the_page_s_networks_are_of_one_size():
    counts = [
        sum(p.numel() for p in page_networks.network(4 if name == "p4" else 1, widths).parameters())
        for name, widths in page_networks.WIDTHS.items()
    ]
    assert max(counts) < 1.05 * min(counts), counts


def test_the_page_s_networks_are_trained_and_written(tmp_path, monkeypatch):
    random = torch.Generator().manual_seed(0)
    known = torch.rand(60, 1, 28, 28, generator=random), torch.arange(60) % 10
    for name, value in {"mnist": lambda: known, "SPLIT": (20, 10, 30), "RATES": (0.01,), "EPOCHS": 1}.items():
        monkeypatch.setattr(page_networks, name, value)
    monkeypatch.setattr(sys, "argv", ["page_networks.py", "--out", str(tmp_path / "out.json")])
    page_networks.main()
    page_networks.main()  # adds nothing
    content = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert [spec["name"] for spec in content["records"]] == list(page_networks.WIDTHS)
    pixels = [np.frombuffer(base64.b64decode(digit), np.uint8) for digit in content["settings"]["digits"]]
    assert [image.shape for image in pixels] == [(784,)] * 10
    for digit, image in enumerate(pixels):
        far = (known[0][:, 0].flatten(1) * 255 - torch.from_numpy(image.copy())).abs().amax(1)
        assert far.min() <= 0.51 and known[1][far.argmin()] == digit


def test_rotations_in_training_are_those_of_the_volume(monkeypatch, rng):
    """A quarter-turn moves voxels as the group does, up to rounding."""
    x, seen = torch.rand(2, 1, 6, 6, 6, generator=rng), []
    quarter = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]).expand(2, 3, 3)
    monkeypatch.setattr(adrenal, "random_turns", lambda n: quarter)
    adrenal.with_any_rotation(
        lambda batch: seen.append(batch) or batch.flatten(1)[:, :2], x, torch.tensor([0, 1])
    )
    space = adrenal.SignalSpace(cubic_grid(6, octahedral()))
    assert sum(torch.allclose(space.act(g, x), seen[0], atol=1e-5) for g in range(24)) == 1
    assert not torch.allclose(x, seen[0], atol=0.1)


def test_the_interval_is_of_areas_over_drawn_cases():
    random = np.random.default_rng(0)
    y, found = random.permutation(np.arange(60) % 4 == 0).astype(int), random.integers(8, size=60)
    found = found + 2.0 * y - 5
    area = lambda y, found: np.mean([(a > b) + (a == b) / 2 for a in found[y == 1] for b in found[y == 0]])
    rows = random.integers(60, size=(400, 60))
    low, high = np.quantile([area(y[some], found[some]) for some in rows], (0.025, 0.975))
    judged = adrenal.judged(found, y)
    assert judged["AUC"] == round(area(y, found), 4) and judged["accuracy"] == round(
        ((found > 0) == y).mean(), 4
    )
    assert np.allclose(judged["interval"], [low, high], atol=0.03)
    assert [sorted(some) for some in judged["scores"]] == [sorted(found[y == k].tolist()) for k in (1, 0)]


def test_how_far_scores_move_is_measured_by_how_much_cases_differ(glands, monkeypatch):
    """A score that each of the other turns and each axis moves by as much as it differs between cases: 1."""
    x = adrenal.prepared()[3][0]
    read = lambda some: torch.arange(12.0)[: len(some)] + (0 if some is x else moved.pop(0))
    apart = float(torch.arange(12.0).std())
    moved = [0, *[apart] * 11, *[-apart] * 12, apart / 2, torch.arange(12.0) % 2 * apart]
    assert adrenal.moves(read) == {"24 turns": 1, "15°": 0.5, "30°": pytest.approx(0.5**0.5, abs=1e-3)}
    assert adrenal.moves(lambda some: torch.zeros(len(some))) == {"24 turns": None, "15°": None, "30°": None}


@pytest.fixture
def noise_of_mnist(monkeypatch):
    """Noise beside the middle in the place of MNIST, and few sizes, seeds and steps."""
    images = torch.zeros(200, 28, 28)
    images[:, 4:18, 8:22] = torch.rand(200, 14, 14, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(exchange_rate, "mnist", lambda: (images, torch.arange(200) % 10))
    small = {
        "SIZES": (20, 30, 40),
        "SEEDS": 2,
        "SPLIT": (40, 20, 100),
        "STEPS": 2,
        "BATCH": 20,
        "RATES": (0.01,),
    }
    small |= {"TUNING": {"examples": 20, "seed": 100}, "AT": (30,), "DRAWS": 20}
    small |= {"PLATEAU": {"arms": ("plain", "p4"), "examples": (20,), "seed": 0}}
    for name, value in small.items():
        monkeypatch.setattr(exchange_rate, name, value)
    caches = exchange_rate.digits, exchange_rate.prepared
    [cached.cache_clear() for cached in caches]
    yield images
    [cached.cache_clear() for cached in caches]


def test_the_networks_of_the_exchange_rate_are_of_one_size_and_exact_or_not_as_they_say(rng):
    counts, exact = [], {}
    upright = torch.rand(3, 1, 28, 28, generator=rng, dtype=torch.float64)
    turned = torch.rot90(upright, 1, (-2, -1))
    for name, (kernel, widths, how, _) in exchange_rate.arms().items():
        torch.manual_seed(0)
        model = exchange_rate.Posed(kernel, widths).double().eval()
        counts.append(sum(p.numel() for p in model.parameters()))
        y, moved = (model(exchange_rate.poses(x, how)) for x in (upright, turned))
        exact[name] = relative_error(moved, y) < 1e-12
    assert max(counts) < 1.03 * min(counts)
    theirs = {"averaged", "aligned", "aligned, two poses", "p4", "p4, augmented", "C8"}
    assert {name for name, holds in exact.items() if holds} == theirs


def test_the_average_over_poses_is_that_of_the_wrapper(rng):
    x = torch.rand(2, 1, 28, 28, generator=rng, dtype=torch.float64)
    model = exchange_rate.Posed(square_grid(5), (8, 14, 16)).double().eval()
    plain = lambda pictures: model(exchange_rate.smaller(pictures))
    wrapped = averaged(plain, SignalSpace(square_grid(28, cyclic(4))))
    of_poses = model(exchange_rate.poses(x, "turns"))
    assert relative_error(of_poses, wrapped(x)) < 1e-12 < 1e-3 < relative_error(plain(x), of_poses)


def test_digits_of_the_exchange_rate_lie_in_the_middle_and_in_one_set(noise_of_mnist):
    place = torch.arange(28) - 13.5
    beside = lambda x: float(((x.sum(-2) * place).sum(-1) / x.sum((-2, -1))).abs().mean())
    assert beside(exchange_rate.digits()[0]) < 0.05 < 0.5 < beside(noise_of_mnist)
    parts, upright = exchange_rate.prepared(0)
    assert [len(x) for x, _ in parts] == [40, 20, 100] and len(upright) == 40
    flat = torch.cat([x for x, _ in parts]).flatten(1)
    apart = torch.cdist(flat, flat) + torch.eye(len(flat)) * 1e3
    assert apart.min() > 1e-3


def test_an_exchange_rate_is_what_two_lines_say():
    sizes = np.array(exchange_rate.SIZES)[:, None]
    table = {"plain": 2 * sizes**-0.5 * np.ones(5), "p4": 2 * (4 * sizes) ** -0.5 * np.ones(5)}
    table["steeper"] = 2 * sizes**-0.7 * np.ones(5)
    fits = exchange_rate.lines(table)
    assert fits["p4"] == pytest.approx((0.5, 1.0)) and fits["steeper"][0] == pytest.approx(0.7)
    assert [exchange_rate.rate(fits, "p4", n) for n in (200, 1600)] == pytest.approx([4, 4])
    assert exchange_rate.rate(fits, "plain", 200) == pytest.approx(1)
    assert exchange_rate.rate(fits, "steeper", 400) == pytest.approx(400**0.4)


def test_the_interval_of_an_exchange_rate_is_over_sizes_and_seeds():
    random = np.random.default_rng(0)
    sizes, covered, widths = np.array(exchange_rate.SIZES)[:, None], 0, []
    for _ in range(40):
        noise = np.exp(0.1 * random.normal(size=(2, 8, 5)))
        table = {"plain": 2 * sizes**-0.5 * noise[0], "p4": (sizes**-0.5) * noise[1]}
        drawn = exchange_rate.bootstrap(table, draws=100)
        low, high = exchange_rate.interval([exchange_rate.rate(f, "p4", 566) for f in drawn])
        covered, widths = covered + (low <= 4 <= high), [*widths, high - low]
    assert covered >= 32 and 0.1 < np.mean(widths) < 2
    again = exchange_rate.bootstrap(table, draws=3)
    assert again == exchange_rate.bootstrap(table, draws=3) != exchange_rate.bootstrap(table, draws=3, seed=1)


def test_the_exchange_rate_runs_from_start_to_end_and_only_once(
    tmp_path, monkeypatch, capsys, noise_of_mnist
):
    some = {
        arm: exchange_rate.arms()[arm]
        for arm in ("plain", "augmented", "augmented, longer", "averaged", "p4", "C8")
    }
    monkeypatch.setattr(exchange_rate, "arms", lambda: some)
    out = tmp_path / "out.json"
    monkeypatch.setattr(sys, "argv", [exchange_rate.__file__, "--out", str(out)])
    exchange_rate.main()
    first = out.read_text(encoding="utf-8")
    made = json.loads(first)["records"]
    assert len(made) == 5 + 3 * 2 * 6 + 2  # tuned, but the longer one; sizes, seeds and arms; twice the steps
    steps = {r["arm"]: r["steps"] for r in made if r["seed"] == 1 and r["examples"] == 20}
    assert steps["augmented, longer"] == 4 * steps["augmented"] == 4 * steps["plain"]
    assert {r["arm"] for r in made if "averaged at test" in r} == {"augmented", "augmented, longer"}
    exchange_rate.main()
    assert out.read_text(encoding="utf-8") == first
    table = exchange_rate.error_table(made)
    assert list(table)[1:4] == ["augmented", "augmented, averaged at test", "augmented, longer"]
    assert all(errors.shape == (3, 2) for errors in table.values())
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--analyse"])
    exchange_rate.main()
    assert "p4 ÷ averaged at 30" in capsys.readouterr().out


def test_words_of_letters_are_counted():
    found = is_it_moved.words(one_hot(["ACACACGT", "ACNACACA"]).flatten(1).numpy())
    assert found.shape == (2, 4**is_it_moved.WORD)
    assert sorted(found[0][found[0] > 0]) == [1, 1, 1, 2] and found[1].sum() == 2  # windows without an N


def test_whether_it_was_moved_is_told_and_written(tmp_path, monkeypatch):
    images = torch.rand(200, 28, 28, generator=torch.Generator().manual_seed(0))
    images[:, :, 14:] = 0
    strands = ["ACGTACGTAC", "TTTTGGGGCC"] * 30
    glands = torch.zeros(40, 1, 28, 28, 28)
    glands[:, :, :9] = torch.rand(40, 1, 9, 28, 28, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(is_it_moved, "adrenal", lambda split: (glands, None))
    monkeypatch.setattr(is_it_moved, "binding_sites", lambda name: strands)
    monkeypatch.setattr(is_it_moved, "clip_sites", lambda: (strands, torch.ones(60)))
    monkeypatch.setattr(is_it_moved, "mnist", lambda: (images, None))
    monkeypatch.setattr(exchange_rate, "digits", lambda: (images[:, None].roll(7, -1), None))
    monkeypatch.setattr(is_it_moved, "SEEDS", 1)
    is_it_moved.examples.cache_clear()
    monkeypatch.setattr(sys, "argv", [is_it_moved.__file__, "--out", str(tmp_path / "out.json")])
    is_it_moved.main()
    found = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))["records"]
    told = {(r["data"], r["change"]): r["accuracy"] for r in found[:-1]}
    assert told["digits", "turned by quarters"] > 0.9 > 0.6 > told["digits", "turned before"]
    assert told["glands", "turned as a cube"] > 0.7 and len(told) == 16
    assert found[-1]["as it is"] > 0.9 > found[-1]["centred"]
    is_it_moved.examples.cache_clear()
