"""What a user types, and what comes of mistakes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from base.errors import InfraError
from harness.cli import COMMANDS, main
from harness.commands.listing import KINDS
from harness.scratch import scratch


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"  {name} " in text for name in COMMANDS)
    assert "exit codes" in text


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "test"])
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    assert f"testbed {command}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rnu"], "unknown command 'rnu'; did you mean 'run'?"),
        (["run", "domuboot"], "no scenario 'domuboot'; did you mean 'domu-boot'?"),
        (["run", "./none.yaml"], "no scenario file ./none.yaml"),
        (["run", "-p", "g55"], "no platform 'g55'; did you mean 'g5'?"),
        (["run", "-H", "kvmpr"], "no hypervisor 'kvmpr'; did you mean 'kvm-pr'?"),
        (["run", "--kernel", "fixd"], "no kernel 'fixd'; did you mean 'fixed'?, or name a file"),
        (["run", "--kernel", "./none"], "cannot read the kernel"),
        (["run", "--kernel", sys.executable], "an ELF file for x86-64; "),
        (["run", "-p", "g5", "--firmware", "./none"], "cannot read the firmware"),
        (
            ["run", "-H", "kvm-hv", "--dom0", "none"],
            "--dom0: dom0's kernel is kvm-hv itself\n  hint: give it with --kernel",
        ),
        (
            ["run", "-H", "kvm-pr", "--hypervisor-image", "x"],
            "kvm-pr is a part of dom0's kernel, not a file of its own",
        ),
        (["run", "-p", "g5", "--firmware", "slof"], "platform g5 has no firmware 'slof'"),
        (["run", "--json", "/none/m.json"], "cannot write /none/m.json"),
        (["matrix", "--run", "nothing"], "no run 'nothing'"),
        (["test", "untit"], "untit"),
    ],
)
def test_a_mistake_is_told_and_ends_with_2(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TESTBED_RESULTS", str(tmp_path))
    assert main(words) == 2
    assert said in capsys.readouterr().err


def test_a_bad_scenario_starts_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("feature: x\nsummary: s\nsteps:\n  - boot-dom\n")
    assert main(["run", str(path)]) == 2
    assert f"{path}:4:5: unknown verb 'boot-dom'; did you mean 'boot-dom0'?" in capsys.readouterr().err


def test_our_own_trouble_ends_with_3_and_its_cause(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_argv: list[str]) -> int:
        raise InfraError("no space left", hint="remove something") from OSError("disk full")

    monkeypatch.setattr("harness.commands.reap.main", broken)
    assert main(["reap"]) == 3
    text = capsys.readouterr().err
    assert "no space left" in text
    assert "hint: remove something" in text
    assert "because: OSError: disk full" in text


def test_ctrl_c_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_argv: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("harness.commands.reap.main", interrupted)
    assert main(["reap"]) == 130


@pytest.mark.parametrize("kind", KINDS)
def test_lists(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", kind]) == 0
    assert len(capsys.readouterr().out.splitlines()) >= 2


def test_scratch_folders_of_the_dead_are_reaped_and_no_others(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TESTBED_CACHE", str(tmp_path))
    dead = tmp_path / "scratch" / "999999999-1"
    dead.mkdir(parents=True)
    (dead / "file").write_text("left")
    with scratch() as folder:
        (folder / "file").write_text("in use")
        assert main(["reap"]) == 0
        assert not dead.exists()
        assert (folder / "file").exists()
    assert not folder.exists()
    assert f"removing {dead}" in capsys.readouterr().out
