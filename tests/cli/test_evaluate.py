import csv
from pathlib import Path

import pytest

from dnn_surgery.cli.main import main
from tests.evaluation.problems import TINY

OWN = '''
from dnn_surgery.planning import Problem

class Speechless:
    def decide(self, now_s):
        return ["in"]

def always_deep(problem, link, goal):
    return ["in", "a"]

class Alternating:
    """Uploads every other frame, and counts what it is told."""
    told = 0

    def __init__(self, problem: Problem) -> None:
        self.frames = 0

    def decide(self, now_s):
        self.frames += 1
        return ["in"] if self.frames % 2 else ["in", "a", "b"]

    def transferred(self, size_bytes, seconds, now_s):
        Alternating.told += 1

    def failed(self, now_s):
        pass
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "tiny.json").write_text(TINY, encoding="utf-8")
    (tmp_path / "own_policies.py").write_text(OWN, encoding="utf-8")
    rows = [f"{60 * number},{[0.05, 0.02, 0.002, 0.01][number % 4]}" for number in range(40)]
    (tmp_path / "my.csv").write_text("\n".join(rows), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def evaluate(*flags: str) -> int:
    return main(["evaluate", "traces", "--trace", "my.csv", "--problem", "tiny.json", "--starts", "2", *flags])


def test_one_tidy_file_with_seeds_and_intervals(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = "dads,own_policies:always_deep,own_policies:Alternating"
    assert evaluate("--algorithm", names, "-o", "out") == 0
    with (folder / "out" / "traces.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    policies = {row["policy"] for row in rows}
    assert policies >= {"controller", "oracle", "tuned", "edge-only", "static-best", *names.split(",")}
    assert {(row["network"], row["trace"]) for row in rows} == {("tiny", "my")}
    for policy in policies:
        of = [row for row in rows if row["policy"] == policy]
        assert [row["seed"] for row in of if row["metric"] == "mean_s"] == ["0", "1", "all"]
        (regret,) = [row for row in of if row["metric"] == "regret"]
        assert float(regret["value"]) >= -1e-9
        assert float(regret["low"]) <= float(regret["value"]) <= float(regret["high"])
    printed = capsys.readouterr().out
    assert all(name in printed for name in names.split(","))

    import own_policies  # type: ignore[import-not-found]

    assert own_policies.Alternating.told > 10


def test_a_run_repeats_to_the_last_digit(folder: Path) -> None:
    for name in ("one", "other"):
        assert evaluate("--no-tuned", "-o", name) == 0
    assert (folder / "one" / "traces.csv").read_bytes() == (folder / "other" / "traces.csv").read_bytes()


def test_inputs_may_be_kept(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate("--private", "--no-tuned") == 0
    printed = capsys.readouterr().out
    assert "input kept" in printed
    assert "cloud-only" not in printed


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--algorithm", "nonsense"], "unknown algorithm 'nonsense'"),
        (["--algorithm", "own_policies:absent"], "own_policies:absent"),
        (["--algorithm", "own_policies:Speechless"], "no method 'transferred'"),
        (["--starts", "0"], "--starts"),
        (["--trace", "absent.up"], "absent.up"),
        (["--problem", "absent.json"], "absent.json"),
        (["--rate", "0"], "rate"),
    ],
)
def test_what_cannot_be_used_is_said(
    folder: Path, capsys: pytest.CaptureFixture[str], flags: list[str], said: str
) -> None:
    assert evaluate("--no-tuned", *flags) == 2
    assert said in capsys.readouterr().err


def test_without_a_trace_it_says_where_it_looked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "traces", "--problem", "tiny.json"]) == 2
    assert "--trace" in capsys.readouterr().err


def test_the_networks_that_ship_are_problems(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "traces").mkdir()
    (folder / "my.csv").rename(folder / "traces" / "my.csv")
    assert main(["evaluate", "traces", "--no-tuned", "--starts", "1", "--rate", "0.01"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("efficientnet_lite0", "resnet18", "vgg16"))
