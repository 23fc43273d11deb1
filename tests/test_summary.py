"""What the experiments came to: the right records, counted rightly; all that the page of results asks for is there."""

import json

import numpy as np
import pytest
import summary
from summary import COLUMNS, TASKS, Task


@pytest.fixture
def records(tmp_path, monkeypatch):
    """Write the records of a script."""

    def write(**scripts):
        for script, some in scripts.items():
            (tmp_path / f"{script}.json").write_text(json.dumps({"records": some}), encoding="utf-8")
        monkeypatch.setattr(summary, "HERE", tmp_path)
        summary.noted.cache_clear()

    yield write
    summary.noted.cache_clear()


def test_seeds_that_count_are_those_of_the_arm_and_of_the_task(records):
    run = lambda arm, seed, error, n=10: {"arm": arm, "seed": seed, "examples": n, "error": error}
    records(
        a=[
            run("p4", 0, 0.1),
            run("p4", 1, 0.3),
            run("p4", 100, 0.9),
            run("p4", 0, 0.8, n=5),
            run("CNN", 0, 1),
        ]
    )
    task = Task("a", "error", {"examples": 10}, ("p4",))
    assert summary.of_seeds(task, "p4") == pytest.approx([10, 30])
    assert summary.of_seeds(task.at(5), "p4") == pytest.approx([80])
    assert summary.as_text(summary.of_seeds(task, "p4")) == "20.0 ± 14.1"
    assert summary.as_text(np.array([0.8519])) == "0.852" and summary.as_text(np.array([2.346])) == "2.35"
    with pytest.raises(ValueError, match="leaves several records of a seed"):
        summary.of_seeds(task._replace(where={}), "p4")


def test_shares_are_in_percent_and_in_the_order_of_seeds(records):
    records(c=[{"arm": "x", "seed": seed, "right": right} for seed, right in ((1, 0.5), (0, 0.25))])
    assert summary.of_seeds(Task("c", "right", {}, ("x",)), "x").tolist() == [25, 50]


def test_an_error_on_several_parts_is_that_of_the_test(records):
    records(b=[{"arm": "x", "seed": 0, "rmse": {"taught": 0.1, "test": 0.7}}])
    assert summary.of_seeds(Task("b", "rmse", {}, ("x",)), "x") == pytest.approx([0.7])


def test_all_that_is_asked_for_is_there():
    for name, task in TASKS.items():
        assert len(task.arms) == len(COLUMNS)
        for arm in filter(None, task.arms):
            assert len(summary.of_seeds(task, arm)) >= 1, (name, arm)
        networks = [arm for arm in task.arms[:3] if arm]
        assert all(len(summary.of_seeds(task, arm)) >= 5 for arm in networks), name
        for n in task.sizes:
            assert len(summary.of_seeds(task.at(n), task.arms[0])) >= 3, (name, n)


def test_a_gain_is_the_untold_error_over_the_told_one():
    found = {(g.data, g.change, g.examples): g for g in summary.gains()}
    assert len(found) == len(summary.gains()) == 32
    gain = found["DNA, TEAD4", "reverse complement", 500]
    task = TASKS["DNA that is bound, AUC"].at(500)
    plain, told = (summary.of_seeds(task, arm) for arm in ("plain", "reverse complement"))
    assert gain.ratios == pytest.approx((1 - plain) / (1 - told)) and 45 < gain.told < 55
    assert all(45 < g.told < 55 or 90 < g.told <= 100 for g in found.values())


def test_gains_on_digits_and_glands_are_of_the_arms_and_the_test_they_name():
    found = {(g.data, g.change, g.examples): g.ratios for g in summary.gains()}
    for gain in summary.gains():
        asked = [
            r["accuracy"]
            for r in summary.noted("is_it_moved")
            if (r["data"], r["change"]) == (gain.data, gain.change) and "accuracy" in r
        ]
        assert gain.told == pytest.approx(100 * np.mean(asked))
    for change, training, tested in (
        ("turned before", "rotated", "turned"),
        ("turned by quarters", "upright", "upright"),
    ):
        task = Task("rotated_digits_digits", "", {"training": training, "examples": 100, "steps": 400}, ())
        plain, told = (
            np.array([r["error"][tested] for r in summary.runs(task, arm)]) for arm in ("CNN", "p4")
        )
        assert found["digits", change, 100] == pytest.approx(plain / told)
    plain, told = (summary.of_seeds(TASKS["a mass in the gland, AUC"], arm) for arm in ("CNN", "O"))
    assert found["glands", "turned as a cube", 1_188] == pytest.approx((1 - plain) / (1 - told))


def test_ratios_are_averaged_by_their_logarithms(capsys, monkeypatch):
    gain = summary.Gain("toys", "turned", 1_000, 95.0, np.array([0.5, 2.0]))
    monkeypatch.setattr(summary, "gains", lambda: [gain])
    summary.main()
    assert "toys, turned, 1,000: told 95 %, untold ÷ told 1.00" in capsys.readouterr().out


def test_it_prints_each_task_and_each_gain(capsys):
    summary.main()
    said = capsys.readouterr().out
    assert all(name in said for name in TASKS) and said.count("untold ÷ told") == 32
