"""Runs that are shared out: the same records whoever ran them, and nothing lost when a process is killed."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import runner
import torch
from runner import Results, arguments, run_all

ROOT = Path(__file__).parents[1]
TOY = """
    import os, signal, sys, time
    from functools import partial
    from pathlib import Path

    import torch
    from runner import Results, arguments, run_all

    from gdl_utils.training import cross_entropy

    HERE = Path(__file__).parent


    def run(train, arm, seed):
        torch.manual_seed(seed)
        x, model, epochs = torch.randn(40, 3), torch.nn.Linear(3, 2), []
        (HERE / f"process-{os.getpid()}").touch()

        def note(model, loss):
            epochs.append(loss)
            if (arm, seed, len(epochs)) == ("dies", 1, 3) and not (HERE / "died").exists():
                (HERE / "died").touch()
                os.kill(os.getpid(), signal.SIGKILL)
            if arm == "always dies":
                os.kill(os.getpid(), signal.SIGKILL)
            if arm == "wrong":
                raise ValueError("a fault in a run")
            if arm == "slow":
                time.sleep(0.1)
            return loss

        history, seconds = train(
            model, cross_entropy, (x, (x.sum(1) > 0).long()), epochs=6, seed=seed, each_epoch=note
        )
        assert len(history) == 6 and seconds is not None
        return {"losses": history, "epochs in this process": len(epochs)}


    def main():
        parser = arguments(None, HERE / "out.json")
        parser.add_argument("--arms", nargs="+", default=["one", "two"])
        args = parser.parse_args()
        runs = [{"arm": arm, "seed": seed} for seed in range(3) for arm in args.arms]
        done = run_all(Results(args.out, {}), runs, run, how=args, batch_size=20)
        print("all done" if done else "call again to go on")


    if __name__ == "__main__":
        main()
"""


@pytest.fixture
def toy(tmp_path):
    """A script; call it with arguments."""
    (tmp_path / "toy.py").write_text(textwrap.dedent(TOY), encoding="utf-8")
    path = os.pathsep.join([str(ROOT / "experiments"), str(ROOT), str(tmp_path)])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}

    def call(*options, wait=True, by=()):
        command = [sys.executable, *by, str(tmp_path / "toy.py"), *options]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": environment}
        return (
            subprocess.run(command, timeout=240, **streams) if wait else subprocess.Popen(command, **streams)
        )

    call.folder, call.environment = tmp_path, environment
    return call


def records(path):
    return json.loads(path.read_text(encoding="utf-8"))["records"]


def alive(pid):
    """Whether a process is there, and not only as what its parent has not asked about yet."""
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def processes(folder):
    return {int(path.name.split("-")[1]) for path in folder.glob("process-*")}


def test_one_process_two_and_a_cluster_give_the_same_records(toy):
    from distributed import LocalCluster

    one, two, dask = (toy.folder / f"{name}.json" for name in ("one", "two", "dask"))
    assert "all done" in toy("--out", str(one)).stdout
    first = processes(toy.folder)
    assert "all done" in toy("--workers", "2", "--out", str(two)).stdout
    second = processes(toy.folder)
    assert len(first) == 1 < len(second)  # others
    with pytest.MonkeyPatch.context() as patch:
        for key, value in toy.environment.items():
            patch.setenv(key, value)
        cluster = LocalCluster(
            n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None, processes=True
        )
    with cluster:
        ended = toy("--dask", cluster.scheduler_address, "--out", str(dask))
    assert "all done" in ended.stdout, ended.stderr
    assert len(processes(toy.folder)) > len(second)
    assert records(one) == records(two) == records(dask)
    assert [(r["arm"], r["seed"]) for r in records(one)] == [(a, s) for s in range(3) for a in ("one", "two")]
    assert not list((toy.folder / ".cache").glob("*"))
    again = toy("--workers", "2", "--out", str(two), "--arms", "two", "one")
    assert "trained" not in again.stdout and "all done" in again.stdout


def test_a_killed_worker_is_replaced_and_its_run_goes_on_from_its_last_epoch(toy):
    ended = toy("--workers", "2", "--arms", "one", "dies")
    assert "all done" in ended.stdout and (toy.folder / "died").exists(), ended.stderr
    killed = records(toy.folder / "out.json")
    other = toy("--arms", "one", "dies", "--out", str(toy.folder / "other.json"))
    assert "all done" in other.stdout
    losses = lambda some: [(r["arm"], r["seed"], r["losses"]) for r in some]
    assert losses(killed) == losses(records(toy.folder / "other.json"))
    (went_on,) = [r for r in killed if (r["arm"], r["seed"]) == ("dies", 1)]
    assert went_on["epochs in this process"] == 4  # two were saved before the third killed it


def test_what_dies_each_time_is_given_up(toy):
    ended = toy("--workers", "2", "--arms", "always dies")
    assert ended.returncode and f"{runner.GIVE_UP} processes died, and no run ended" in ended.stderr


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_fault_in_a_run_is_shown_and_what_is_done_stays(workers, toy):
    ended = toy("--workers", workers, "--arms", "one", "wrong")
    assert ended.returncode and "a fault in a run" in ended.stderr
    path = toy.folder / "out.json"
    assert all(r["arm"] == "one" for r in records(path)) if path.exists() else workers == "2"


def test_a_killed_parent_takes_its_workers_along_and_goes_on(toy):
    path = toy.folder / "out.json"
    parent = toy("--workers", "2", "--arms", "slow", "one", wait=False)
    until = time.time() + 120
    while not path.exists():
        assert time.time() < until and parent.poll() is None, parent.communicate()
        time.sleep(0.02)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    done, theirs = records(path), processes(toy.folder)
    assert 1 <= len(done) < 6 and theirs
    while any(map(alive, theirs)):
        assert time.time() < until
        time.sleep(0.05)
    parent.stdout.close(), parent.stderr.close()
    assert "all done" in toy("--workers", "2", "--arms", "slow", "one").stdout
    after = records(path)
    assert [r for r in after if r in done] == done  # not done again
    assert [(r["arm"], r["seed"]) for r in after] == [(a, s) for s in range(3) for a in ("slow", "one")]


def test_records_are_in_the_order_of_the_plan_and_after_what_was_there(tmp_path):
    results = Results(tmp_path / "out.json", {})
    results.add({"arm": "old"})
    results.plan = [{"arm": "one"}, {"arm": "two"}]
    results.add({"arm": "two"}), results.add({"arm": "one"})
    assert [r["arm"] for r in records(results.path)] == ["old", "one", "two"]


def test_two_calls_at_once_keep_each_other_s_records(tmp_path):
    one, two = (Results(tmp_path / "out.json", {}) for _ in range(2))
    for results, seed in ((one, 0), (two, 1), (one, 2), (two, 3)):
        results.add({"seed": seed, "curve": ((1, 0.5), (2, float("nan")))})
    kept = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))["records"]
    assert sorted(record["seed"] for record in kept) == [0, 1, 2, 3]


def test_durations_are_added_and_minutes_count_from_the_start(tmp_path):
    for seconds in (100, 50):
        results = Results(tmp_path / "out.json", {})
        results.started -= seconds
        results.add({"arm": seconds})
    assert 150 <= json.loads(results.path.read_text())["duration_s"] < 160
    how = arguments("").parse_args(["--minutes", "3"])
    assert run_all(results, [{"arm": "x"}], lambda train, **_: {"until": train.keywords["deadline"]}, how=how)
    assert results.records[-1]["until"] == results.started + 180


def test_seconds_are_those_of_all_epochs_by_those_of_this_process(monkeypatch):
    def fit(model, loss, tensors, **_):  # goes on from the fourth of six epochs, of two batches each
        for _ in range(4):
            loss(model, *tensors)
        return [0.0] * 6

    clock = iter([10.0, 13.0])
    monkeypatch.setattr(runner, "fit", fit), monkeypatch.setattr(time, "process_time", lambda: next(clock))
    options = {"name": "x", "deadline": float("inf"), "batch_size": 20}
    assert runner.timed_fit(None, lambda *_: 0, (torch.ones(40, 1),), **options)[1] == 9


def test_workers_share_the_cores_and_the_environment_is_left_as_it_was(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setenv("OMP_NUM_THREADS", "5"), monkeypatch.delenv("TQDM_DISABLE", raising=False)
    with runner.executor(arguments("").parse_args(["--workers", "2"])):
        assert os.environ["OMP_NUM_THREADS"] == "4"
    assert os.environ["OMP_NUM_THREADS"] == "5" and "TQDM_DISABLE" not in os.environ


def test_no_workers_are_refused(toy):
    ended = toy("--workers", "0")
    assert ended.returncode and "--workers: got 0; give 1 or more" in ended.stderr


def test_time_that_is_over_is_said_and_a_later_call_goes_on(toy):
    ended = toy("--workers", "2", "--minutes", "0")
    assert ended.stdout.count("out of time") == 6 and "call again" in ended.stdout
    assert not (toy.folder / "out.json").exists()
    assert "all done" in toy("--workers", "2").stdout


def test_under_torchrun_all_processes_do_each_run(toy):
    by = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    one, two = (toy.folder / f"{name}.json" for name in ("one", "two"))
    assert "all done" in toy("--out", str(one)).stdout
    ended = toy("--out", str(two), by=by)
    assert ended.stdout.count("trained epochs 1 to 6") == 6, ended.stderr
    assert len(processes(toy.folder)) == 3
    for a, b in zip(records(one), records(two), strict=True):
        assert (a["arm"], a["seed"]) == (b["arm"], b["seed"])
        assert a["losses"] == pytest.approx(b["losses"], rel=1e-5)
    refused = toy("--workers", "2", by=by)
    assert refused.returncode and "not under torchrun" in refused.stderr


def test_what_was_trained_in_another_way_is_not_added(toy):
    paths = {name: toy.folder / f"{name}.json" for name in ("plain", "half", "compiled")}
    ways = {"plain": [], "half": ["--bfloat16"], "compiled": ["--compile", "eager"]}
    for name, way in ways.items():
        ended = toy("--arms", "one", "--out", str(paths[name]), *way)
        assert "all done" in ended.stdout, ended.stderr
    losses = {name: [loss for r in records(path) for loss in r["losses"]] for name, path in paths.items()}
    assert losses["compiled"] == pytest.approx(losses["plain"], rel=1e-6)
    assert losses["half"] == pytest.approx(losses["plain"], rel=0.1)
    assert losses["half"] != pytest.approx(losses["plain"], rel=1e-5)
    other = toy("--out", str(paths["half"]))
    assert other.returncode and "was made with {'bfloat16': True}, not {}" in other.stderr
    assert "all done" in toy("--out", str(paths["half"]), "--bfloat16").stdout
