"""Several processes that train one model: the numbers of one process, and nothing lost when one of them dies."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]
TRAINING = """
    import os, signal, sys
    from pathlib import Path

    import torch
    from torch import distributed, nn

    from gdl_utils import _processes
    from gdl_utils.domains import square_grid
    from gdl_utils.groups import cyclic
    from gdl_utils.layers import FieldBatchNorm, GlobalPool, GroupBatchNorm, GroupConv, LiftingConv
    from gdl_utils.representations import Representation, trivial
    from gdl_utils.training import cross_entropy, fit

    HERE = Path(__file__).parent
    DATA = torch.Generator().manual_seed(0)
    X = torch.randn(30, 1, 8, 8, generator=DATA, dtype=torch.float64)
    Y = (X.mean((1, 2, 3)) > 0).long()


    def network(rank=0, norm=GroupBatchNorm):
        torch.manual_seed(rank)  # so that all but the first begin with other weights
        C4 = cyclic(4)
        kernel = square_grid(3, C4)
        arrow = Representation("arrow", C4, C4.representation([[[0, -1], [1, 0]]]))
        both = trivial(C4) + arrow
        return nn.Sequential(
            LiftingConv(kernel, 1, 3, bias=False),
            norm(3),
            nn.ReLU(),
            GroupConv(kernel, 3, 2, fibre_out=both, bias=False),
            FieldBatchNorm(both, 2),
            GroupConv(kernel, 2, 3, fibre=both),
            nn.ReLU(),
            GlobalPool(2, group_axis=True),
            nn.Linear(3, 2),
        ).double()


    def now_and_then():
        torch.manual_seed(0)  # one layer is used in every second batch only, and one never
        model = nn.ModuleList(nn.Linear(8, 2) for _ in range(3)).double()
        steps = []

        def loss(model, x, y):
            steps.append(1)
            scores = model[0](x[:, 0, 0]) + (model[1](x[:, 0, 1]) if len(steps) % 2 else 0)
            return nn.functional.cross_entropy(scores, y)

        fit(model, loss, (X, Y), epochs=5, batch_size=8, seed=1)
        return model.state_dict()


    def train(model, batch_size=8, **options):  # the last batch has 6; of others two shares of 4
        return fit(model, cross_entropy, (X, Y), epochs=5, batch_size=batch_size, seed=1, **options)
"""
TOGETHER = (
    TRAINING
    + """

    def main():
        distributed.init_process_group("gloo")
        rank = distributed.get_rank()
        model = network(rank)
        found = {"history": train(model, batch_size=7), "model": model.state_dict(), "now and then": now_and_then()}  # shares of 4 and 3, 1 and 1
        own, _processes.summed = _processes.summed, lambda t: t  # the control: statistics of each process alone
        alone = network(rank)
        train(alone, batch_size=7)
        _processes.summed, found["alone"] = own, alone.state_dict()
        for name, call in {
            "small batch": lambda: train(network(), batch_size=29),
            "own statistics": lambda: train(network(norm=lambda n: nn.BatchNorm3d(n))),
            "two places": lambda: [train(network(), checkpoint=HERE / f"{min(rank, k)}.pt") for k in (0, 1)],
        }.items():
            try:
                call()
            except ValueError as error:
                found[name] = str(error)
        torch.save(found, HERE / f"found-{rank}.pt")
        distributed.destroy_process_group()


    if __name__ == "__main__":
        main()
"""
)
DYING = (
    TRAINING
    + """

    def note(model, loss, epochs=[]):
        epochs.append(loss)
        if len(epochs) == 3 and distributed.get_rank() == 1 and not (HERE / "died").exists():
            (HERE / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        (HERE / f"epochs-{os.getpid()}").write_text(str(len(epochs)))
        return loss


    def main():
        distributed.init_process_group("gloo")
        model = network()
        model.insert(3, nn.Dropout(0.3))
        history = train(model, checkpoint=HERE / "model.pt", each_epoch=note)
        torch.save({"history": history, "model": model.state_dict()}, HERE / f"found-{distributed.get_rank()}.pt")


    if __name__ == "__main__":
        main()
"""
)


def torchrun(folder, script, fails=False):
    """Let two processes run a script; return what each has found, and what they said."""
    folder.mkdir(exist_ok=True)
    (folder / "script.py").write_text(textwrap.dedent(script), encoding="utf-8")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "script.py"], cwd=folder, env=environment, timeout=240, capture_output=True, text=True
    )
    assert (done.returncode != 0) == fails, done.stderr
    found = [] if fails else [torch.load(folder / f"found-{k}.pt", weights_only=True) for k in (0, 1)]
    return found, done.stderr


def apart(found, wanted):
    """The largest relative difference of two state dicts."""
    assert found.keys() == wanted.keys()
    return max(
        float((found[name].double() - t.double()).norm() / t.double().norm().clamp(min=1e-3))
        for name, t in wanted.items()
    )


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    return torchrun(tmp_path_factory.mktemp("together"), TOGETHER)


@pytest.fixture(scope="module")
def one_process():
    here = {"__file__": __file__}
    exec(textwrap.dedent(TRAINING), here)
    model = here["network"]()
    return here["train"](model, batch_size=7), model.state_dict(), here["now_and_then"]()


def test_two_processes_train_as_one_does(together, one_process):
    (first, second), _ = together
    history, model, _ = one_process
    assert apart(first["model"], second["model"]) == 0
    assert apart(first["model"], model) < 1e-10
    assert torch.tensor(first["history"]).sub(torch.tensor(history)).abs().max() < 1e-10
    assert first["history"] == second["history"]


def test_with_statistics_of_their_own_they_do_not(together, one_process):
    assert apart(together[0][0]["alone"], one_process[1]) > 1e-3


def test_what_no_process_used_stays_where_it_is(together, one_process):
    wanted = one_process[2]
    assert apart(together[0][0]["now and then"], wanted) < 1e-10
    torch.manual_seed(0)
    start = [torch.nn.Linear(8, 2).double() for _ in range(3)]
    assert torch.equal(wanted["2.weight"], start[2].weight) and not torch.equal(
        wanted["1.weight"], start[1].weight
    )


def test_what_they_cannot_share_is_refused_by_all(together):
    for found in together[0]:
        assert "batch_size: 29 makes of 30 examples a batch of 1, for 2 processes" in found["small batch"]
        assert "1 is a BatchNorm3d, whose statistics are of one process alone" in found["own statistics"]
        assert "checkpoint: processes find [5, 0] epochs in it" in found["two places"]


def test_there_is_one_progress_bar(together):
    _, said = together
    assert said.count("5/5") <= 3  # of the three trainings that reach their end


def test_one_that_dies_costs_no_more_than_an_epoch(tmp_path):
    whole, restarted = tmp_path / "whole", tmp_path / "restarted"
    whole.mkdir()
    (whole / "died").touch()  # so that nobody does
    (wanted, _), _ = torchrun(whole, DYING)
    torchrun(restarted, DYING, fails=True)  # the other one ends too
    assert (restarted / "died").exists()
    (found, other), _ = torchrun(restarted, DYING)
    assert found["history"] == other["history"] == wanted["history"]
    assert apart(found["model"], wanted["model"]) == 0
    epochs = sorted(int(file.read_text()) for file in restarted.glob("epochs-*"))
    assert len(epochs) == 4 and epochs[-1] < 5  # the second time not from the beginning
