from __future__ import annotations

import ast
import asyncio
import json
import xml.etree.ElementTree as ET
from datetime import UTC, datetime
from pathlib import Path

import pytest

from base.errors import UsageError
from base.paths import PROJECT
from bench import cells, cli, lines, matrix, plot
from bench.context import Context
from bench.model import BenchFailed, Environment, Measure, Phase, Profile, Report, ratio
from bench.naive import naive
from bench.phases import phases_of
from bench.usage import Cpu, memory_share, run
from harness.scenario import load_scenario
from results.model import CellId, Result, Status, StepResult, Verdict

ABOUT = Environment(
    cpu="a CPU & more", cores=2, memory=1024, system="Linux", python="3.11", qemu="10.0.13", commit="abc", load=(0, 1)
)


def report(*measures: Measure, profiles: tuple[Profile, ...] = (), failed: dict[str, str] | None = None) -> Report:
    return Report(
        started=datetime(2026, 1, 1, tzinfo=UTC),
        elapsed=1.0,
        command=("testbed", "bench"),
        environment=ABOUT,
        measures=measures,
        profiles=profiles,
        failed=failed or {},
    )


def saved(path: Path, made: Report) -> Path:
    path.write_text(made.model_dump_json(by_alias=True))
    return path


class TestMeasures:
    def test_an_upper_limit_is_kept_or_not(self) -> None:
        assert Measure(bench="x", what="x", got=0.1, asked=0.1).ok
        assert not Measure(bench="x", what="x", got=0.11, asked=0.1).ok

    def test_a_lower_limit_is_reached_or_not(self) -> None:
        assert Measure(bench="x", what="x", got=4, asked=4, least=True).ok
        assert not Measure(bench="x", what="x", got=3.9, asked=4, least=True).ok

    def test_what_nothing_is_asked_of_is_never_wrong(self) -> None:
        assert Measure(bench="x", what="x", got=1e9).ok

    def test_a_ratio_is_of_medians(self) -> None:
        assert ratio([1, 2, 300], [4, 4, 4]) == 0.5

    @pytest.mark.parametrize(("over", "under"), [([], [1.0]), ([1.0], []), ([1.0], [0.0])])
    def test_nothing_measured_is_no_ratio(self, over: list[float], under: list[float]) -> None:
        with pytest.raises(BenchFailed, match="nothing was measured"):
            ratio(over, under)


class TestCommandLine:
    def test_without_names_the_long_ones_are_left_out(self) -> None:
        assert not set(cli.choose([])) & set(cli.LONG)
        assert cli.choose(["all"]) == list(cli.BENCHMARKS)

    def test_an_unknown_name_is_told_with_the_nearest(self) -> None:
        with pytest.raises(UsageError, match="did you mean 'latency'"):
            cli.choose(["latencies"])

    @pytest.mark.parametrize(
        ("made", "code"),
        [
            (report(Measure(bench="x", what="x", got=1, asked=2)), 0),
            (report(Measure(bench="x", what="x", got=1, asked=2), Measure(bench="x", what="x", got=3, asked=2)), 1),
            (report(Measure(bench="x", what="x", got=3, asked=2), failed={"soak": "no disk"}), 3),
        ],
    )
    def test_the_exit_code_says_whether_all_is_as_asked(
        self, made: Report, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert cli.main(["--from", str(saved(tmp_path / "report.json", made))]) == code
        assert ("NO" in capsys.readouterr().out) == (not all(measure.ok for measure in made.measures))

    def test_a_report_says_for_itself_whether_it_is_as_asked(self, tmp_path: Path) -> None:
        path = saved(tmp_path / "report.json", report(Measure(bench="x", what="x", got=3, asked=2)))
        assert cli.main(["--from", str(path), "--json", str(tmp_path / "copy.json")]) == 1
        assert json.loads((tmp_path / "copy.json").read_text())["measures"][0]["ok"] is False

    def test_what_is_no_report_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "report.json").write_text("{}")
        with pytest.raises(UsageError, match="is no report"):
            cli.main(["--from", str(tmp_path / "report.json")])

    def test_a_folder_that_is_not_there_is_told_before_anything_is_measured(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="its folder does not exist"):
            cli.main(["--json", str(tmp_path / "no" / "report.json")])

    def test_every_benchmark_is_there(self) -> None:
        import importlib

        for module, function, _ in cli.BENCHMARKS.values():
            assert callable(getattr(importlib.import_module(module), function))


def test_nothing_imports_the_benchmarks() -> None:
    for package in ("base", "sim", "images", "results", "harness"):
        for path in (PROJECT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                assert not any(name.split(".")[0] == "bench" for name in names), path


def test_evidence_is_kept_only_of_what_failed(tmp_path: Path) -> None:
    context = Context(tmp_path, ("g5",), None, print, (1, 1))
    with context.place("good") as good:
        (good / "file").touch()
    assert not good.exists()
    with pytest.raises(BenchFailed), context.place("bad") as bad:
        raise BenchFailed("it did")
    assert bad.is_dir()


class TestNaiveScript:
    def test_its_rows_are_those_of_the_scenarios(self) -> None:
        assert [path.stem for path in matrix.rows()] == sorted(f"row-{row}" for row in naive.ROWS)

    def test_every_scenario_of_the_benchmarks_is_one(self) -> None:
        for path in sorted(cells.SCENARIOS.glob("*.yaml")):
            assert load_scenario(path).steps


def write_console(folder: Path, name: str, stamped: list[tuple[float, str, bool]]) -> None:
    log, stamps = "", []
    for time, line, template in stamped:
        stamp = {"t": time, "offset": len(log), "guest": None, **({"template": True} if template else {})}
        stamps.append(json.dumps(stamp))
        log += f"{line}\r\n"
    (folder / f"{name}.log").write_text(log, newline="")
    (folder / f"{name}.timeline.jsonl").write_text("\n".join(stamps) + "\n")


def start(directory: Path, ready: float, template: str) -> cells.Start:
    step = StepResult(index=0, section="prepare", verb="boot-dom0", verdict=Verdict.PASS, elapsed=ready)
    answers = StepResult(index=1, section="feature", verb="answers", verdict=Verdict.PASS)
    result = Result(
        run="r",
        cell=CellId(feature="x", scenario="x", platform="g5", hypervisor="kvm-pr"),
        verdict=Verdict.PASS,
        raw=Verdict.PASS,
        status=Status.YES,
        started=datetime(2026, 1, 1, tzinfo=UTC),
        elapsed=ready,
        declared=2,
        steps=(step, answers),
        facts={"start": template},
    )
    return cells.Start(0.0, ready, 0.0, 0.0, ready, result, directory)


class TestPhases:
    def test_a_boot_is_divided_at_what_its_consoles_showed(self, tmp_path: Path) -> None:
        for name in ("console", "qmp"):
            (tmp_path / name).mkdir()
        (tmp_path / "qmp" / "machine.jsonl").write_text('{"t": 0.5, "greeting": {}}\n')
        write_console(
            tmp_path / "console",
            "dom0",
            [(1.0, "Booting Linux via __start() @ 0", False), (3.0, "[ 1.0] Run /init as init process", False)],
        )
        write_console(
            tmp_path / "console", "dom0-command", [(3.5, "testbed: channel open", False), (3.75, "<123>", False)]
        )
        found = phases_of(start(tmp_path, 4.0, "cold"), "dom0")
        assert list(found.values()) == [0.5, 0.5, 2.0, 0.5, 0.25, 0.25]
        assert list(found)[:3] == ["QEMU starts", "firmware", "dom0's kernel"]

    def test_what_a_template_showed_is_not_from_this_start(self, tmp_path: Path) -> None:
        (tmp_path / "console").mkdir()
        write_console(tmp_path / "console", "dom0-command", [(0.0, "<111>", True), (0.25, "<222>", False)])
        assert cells.printed_at(tmp_path, "dom0-command", cells.ANSWER) == 0.25

    def test_an_answer_that_never_came_is_no_number(self, tmp_path: Path) -> None:
        (tmp_path / "console").mkdir()
        write_console(tmp_path / "console", "dom0-command", [(0.0, "<111>", True)])
        with pytest.raises(BenchFailed, match="no line"):
            cells.printed_at(tmp_path, "dom0-command", cells.ANSWER)


class TestPlot:
    def test_each_phase_is_a_bar_as_long_as_its_seconds(self) -> None:
        def profile(start: str, *seconds: float) -> Profile:
            phases = tuple(Phase(what=f"phase {number}", seconds=value) for number, value in enumerate(seconds))
            return Profile.model_validate({"platform": "g5", "domain": "dom0", "start": start, "phases": phases})

        drawn = plot.draw(report(profiles=(profile("cold", 3, 1), profile("warm", 0.5))))
        space = "{http://www.w3.org/2000/svg}"
        bars = [rect for rect in ET.fromstring(drawn).iter(f"{space}rect") if rect.find(f"{space}title") is not None]
        widths = [float(bar.get("width", "0")) for bar in bars]
        assert widths == [pytest.approx(widths[1] * 3, rel=0.01), widths[1], pytest.approx(widths[1] / 2, rel=0.01)]

    def test_a_report_without_profiles_draws_nothing(self) -> None:
        with pytest.raises(UsageError, match="no profile"):
            plot.draw(report())


class TestUsage:
    def test_a_child_is_accounted_with_its_own_children(self, tmp_path: Path) -> None:
        burn = "import time\nwhile time.process_time() < 0.2: pass"
        script = f"import subprocess, sys; subprocess.run([sys.executable, '-c', '''{burn}'''])"
        before = Cpu.now()
        import sys

        ended = run([sys.executable, "-c", script], tmp_path / "log")
        assert ended.code == 0
        assert ended.cpu >= 0.2
        assert Cpu.now().since(before).children >= 0.2

    def test_memory_is_that_of_a_process(self) -> None:
        import os

        assert memory_share(os.getpid()) > 1 << 20


class TestLines:
    def test_a_byte_that_is_lost_or_changed_shows(self) -> None:
        import hashlib

        whole = b"0" * 10
        digest = hashlib.sha256(whole).digest()
        assert lines._missing(whole, digest) == 0
        assert lines._missing(b"0" * 9 + b"1", digest) > 0
        assert lines._missing(b"0" * 9, digest) > 0

    def test_bytes_of_another_process_come_whole(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(lines, "BULK", 1 << 20)
        _, missing = asyncio.run(lines._pour(tmp_path / "console"))
        assert missing == 0
