"""Which mirror is used: what the machine's own apt configuration names, in both formats."""

from __future__ import annotations

from pathlib import Path

import pytest

from images.errors import FetchError
from images.mirror import Mirror, find_mirror


@pytest.fixture
def etc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("TESTBED_MIRROR", raising=False)
    (tmp_path / "apt" / "sources.list.d").mkdir(parents=True)
    (tmp_path / "os-release").write_text('NAME="Debian"\nVERSION_CODENAME=bookworm\n')
    (tmp_path / "key.gpg").write_text("")
    return tmp_path


def test_one_line_format(etc: Path) -> None:
    (etc / "apt/sources.list").write_text(
        "# deb http://comment.test/debian bookworm main\n"
        "deb-src http://source.test/debian bookworm main\n"
        "deb http://security.test/debian-security bookworm-security main\n"
        "deb http://updates.test/debian bookworm-updates main\n"
        "deb http://contrib.test/debian bookworm contrib\n"
        f"deb [arch=amd64 signed-by={etc}/key.gpg] http://right.test/debian/ bookworm main contrib # yes\n"
        "deb http://late.test/debian bookworm main\n"
    )
    assert find_mirror(etc) == Mirror("http://right.test/debian", f"signed-by={etc}/key.gpg")


def test_deb822_format(etc: Path) -> None:
    (etc / "apt/sources.list.d/x.list.disabled").write_text("deb http://disabled.test/debian bookworm main\n")
    (etc / "apt/sources.list.d/debian.sources").write_text(
        "Types: deb\nURIs: http://off.test/debian\nSuites: bookworm\nComponents: main\nEnabled: no\n\n"
        "Types: deb\n# a comment\nURIs: http://security.test/debian-security\n"
        "Suites: bookworm-security\nComponents: main\n\n"
        "Types: deb deb-src\nURIs: http://right.test/debian\nSuites: bookworm bookworm-updates\n"
        f"Components: main\nSigned-By: {etc}/key.gpg\n"
    )
    assert find_mirror(etc) == Mirror("http://right.test/debian", f"signed-by={etc}/key.gpg")


def test_a_key_inside_the_entry_falls_back_to_debians_keyring(etc: Path) -> None:
    (etc / "apt/sources.list.d/debian.sources").write_text(
        "Types: deb\nURIs: http://right.test/debian\nSuites: bookworm\nComponents: main\n"
        "Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n"
    )
    found = find_mirror(etc)
    assert found.uri == "http://right.test/debian"
    assert "BEGIN" not in found.options


def test_the_variable_overrides(etc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (etc / "apt/sources.list").write_text(f"deb [signed-by={etc}/key.gpg] http://host.test/debian bookworm main\n")
    monkeypatch.setenv("TESTBED_MIRROR", "http://mine.test/debian/")
    assert find_mirror(etc) == Mirror("http://mine.test/debian", f"signed-by={etc}/key.gpg")


def test_no_mirror_is_an_error_that_names_the_variable(etc: Path) -> None:
    (etc / "apt/sources.list").write_text("deb http://other.test/debian sid main\n")
    with pytest.raises(FetchError, match="bookworm") as caught:
        find_mirror(etc)
    assert "TESTBED_MIRROR" in (caught.value.hint or "")


def test_backports_come_with_the_release_that_they_are_for() -> None:
    lines = Mirror("http://m.test/debian", "").source_lines("bookworm-backports").splitlines()
    assert [line.split()[-2] for line in lines if line.startswith("deb ")] == ["bookworm-backports", "bookworm"]
    assert len(Mirror("http://m.test/debian", "").source_lines("trixie").splitlines()) == 2
