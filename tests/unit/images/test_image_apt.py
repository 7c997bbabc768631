"""Private apt roots, against an archive in a folder: the real apt, no network."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from images.apt import AptArchive
from images.errors import FetchError
from images.lock import Pin
from images.mirror import Mirror
from images.process import Processes
from images.recipe import ClosureInput, PackageInput, PatchedSourceInput, SourceInput

pytestmark = pytest.mark.skipif(not shutil.which("apt-get"), reason="no apt here")


class Repository:
    """A Debian archive with the suite `sid`, unsigned."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.packages: dict[str, str] = {}
        self.sources: dict[str, str] = {}
        (root / "pool").mkdir(parents=True)

    def file(self, name: str, text: str) -> tuple[str, int, str]:
        path = self.root / "pool" / name
        path.write_text(text)
        return f"pool/{name}", len(text), hashlib.sha256(text.encode()).hexdigest()

    def package(self, name: str, version: str, depends: str = "") -> None:
        filename, size, sha256 = self.file(f"{name}_{version}_amd64.deb", f"{name} {version}")
        self.packages[f"{name} {version}"] = (
            f"Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: x\nDescription: x\n"
            f"{f'Depends: {depends}' + chr(10) if depends else ''}"
            f"Filename: {filename}\nSize: {size}\nSHA256: {sha256}\n"
        )

    def source(self, name: str, version: str) -> None:
        lines = []
        for kind in ("orig.tar.xz", "debian.tar.xz", "orig-data.tar.xz"):
            _, size, sha256 = self.file(f"{name}_{version}.{kind}", f"{name} {version} {kind}")
            lines.append(f" {sha256} {size} {name}_{version}.{kind}\n")
        self.sources[f"{name} {version}"] = (
            f"Package: {name}\nBinary: {name}\nVersion: {version}\nArchitecture: any\nFormat: 3.0 (quilt)\n"
            f"Directory: pool\nChecksums-Sha256:\n{''.join(lines)}"
        )

    def write(self) -> None:
        suite = self.root / "dists" / "sid"
        lines = []
        for kind, parts in (("main/binary-amd64/Packages", self.packages), ("main/source/Sources", self.sources)):
            path = suite / kind
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(parts.values()))
            data = path.read_bytes()
            lines.append(f" {hashlib.sha256(data).hexdigest()} {len(data)} {kind}\n")
        head = (
            "Suite: sid\nCodename: sid\nArchitectures: amd64\nComponents: main\nDate: Sun, 01 Nov 2026 00:00:00 UTC\n"
        )
        (suite / "Release").write_text(f"{head}SHA256:\n{''.join(lines)}")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(tmp_path / "debian")
    made.package("tool", "1:1.0+b1", depends="lib (>= 1)")
    made.package("lib", "1.0")
    made.source("hello", "1.0")
    made.write()
    return made


@pytest.fixture
def archive(repository: Repository, tmp_path: Path) -> AptArchive:
    root = tmp_path / "apt"
    root.mkdir()
    return AptArchive(root, Mirror(f"copy:{repository.root}", "trusted=yes"), Processes(), tmp_path / "log")


def stale(tmp_path: Path) -> None:
    for path in tmp_path.glob("apt/*/refreshed"):
        path.unlink()


def versions(pins: tuple[Pin, ...]) -> list[str]:
    return [f"{pin.name} {pin.version}" for pin in pins]


def test_closures_packages_and_sources(archive: AptArchive, repository: Repository, tmp_path: Path) -> None:
    archive.refresh("sid", "amd64")
    closure = archive.resolve(ClosureInput(closure=["tool"], suite="sid"), None)
    assert versions(closure) == ["lib 1.0", "tool 1:1.0+b1"]
    source = archive.resolve(SourceInput(source="hello", suite="sid"), None)
    assert [pin.filename for pin in source] == ["pool/hello_1.0.orig.tar.xz"]
    folder = tmp_path / "got"
    folder.mkdir()
    archive.fetch([*closure, *source], folder)
    assert (folder / source[0].sha256).read_text() == "hello 1.0 orig.tar.xz"

    # A newer version appears: what is locked stays, as long as it is there.
    item = ClosureInput(closure=["tool"], suite="sid")
    repository.package("lib", "2.0")
    repository.source("hello", "1.10")
    repository.source("hello", "1.9")
    repository.write()
    stale(tmp_path)
    archive.refresh("sid", "amd64")
    assert versions(archive.resolve(item, closure)) == ["lib 1.0", "tool 1:1.0+b1"]
    assert versions(archive.resolve(item, None)) == ["lib 2.0", "tool 1:1.0+b1"]
    assert versions(archive.resolve(SourceInput(source="hello", suite="sid"), source)) == ["hello 1.0"]
    assert versions(archive.resolve(SourceInput(source="hello", suite="sid"), None)) == ["hello 1.10"]

    # The locked one vanishes from the index: what the mirror still has is used. (apt itself resolves a closure.)
    del repository.packages["lib 1.0"]
    del repository.sources["hello 1.0"]
    repository.write()
    stale(tmp_path)
    archive.refresh("sid", "amd64")
    assert versions(archive.resolve(item, closure)) == ["lib 2.0", "tool 1:1.0+b1"]
    assert archive.resolve(SourceInput(source="hello", suite="sid"), source) == source
    assert versions(archive.resolve(PackageInput(package="lib", suite="sid"), closure[:1])) == ["lib 1.0"]

    # It vanishes from the mirror as well, or has other bytes: the newest of the suite, no dead end.
    (repository.root / source[0].filename).unlink()
    (repository.root / closure[0].filename).write_text("lib 1.1")
    assert versions(archive.resolve(SourceInput(source="hello", suite="sid"), source)) == ["hello 1.10"]
    assert versions(archive.resolve(PackageInput(package="lib", suite="sid"), closure[:1])) == ["lib 2.0"]
    with pytest.raises(FetchError, match="has no nothing"):
        archive.resolve(PackageInput(package="nothing", suite="sid"), None)


def test_a_patched_source_has_debians_archive_too(archive: AptArchive, repository: Repository) -> None:
    archive.refresh("sid", "amd64")
    pins = archive.resolve(PatchedSourceInput(patched_source="hello", suite="sid"), None)
    assert {pin.filename for pin in pins} == {"pool/hello_1.0.orig.tar.xz", "pool/hello_1.0.debian.tar.xz"}
    with pytest.raises(FetchError, match="has no source nothing"):
        archive.resolve(PatchedSourceInput(patched_source="nothing", suite="sid"), None)


def test_a_file_that_is_not_what_the_index_says_is_refused(
    archive: AptArchive, repository: Repository, tmp_path: Path
) -> None:
    archive.refresh("sid", "amd64")
    (pin,) = archive.resolve(PackageInput(package="lib", suite="sid"), None)
    (repository.root / pin.filename).write_text("lib 1.1")
    with pytest.raises(FetchError, match=r"cannot download pool/lib_1\.0_amd64\.deb"):
        archive.fetch([pin], tmp_path)


def test_an_unsigned_archive_is_refused_and_the_mirror_variable_named(repository: Repository, tmp_path: Path) -> None:
    root = tmp_path / "apt"
    root.mkdir()
    archive = AptArchive(root, Mirror(f"copy:{repository.root}"), Processes(), tmp_path / "log")
    with pytest.raises(FetchError, match="cannot refresh the index of Debian sid") as caught:
        archive.refresh("sid", "amd64")
    assert "TESTBED_MIRROR" in (caught.value.hint or "") or "keyring" in (caught.value.hint or "")


def test_nothing_of_the_hosts_apt_is_touched(archive: AptArchive, tmp_path: Path) -> None:
    archive.refresh("sid", "amd64")
    config = tmp_path / "apt" / "sid-amd64" / "apt.conf"
    done = subprocess.run(
        ["apt-config", "dump"], env={"APT_CONFIG": str(config)}, capture_output=True, text=True, check=True
    )
    settings = dict(line.rstrip(";").split(" ", 1) for line in done.stdout.splitlines())
    for key in ("Dir::State::lists", "Dir::State::status", "Dir::Cache::archives", "Dir::Etc::sourcelist"):
        assert settings[key].strip('"').startswith(str(tmp_path)), key
    assert {settings[f"Dir::Etc::{key}"] for key in ("main", "parts")} == {'"/dev/null"'}
    assert not any("Invoke" in key and value != '""' for key, value in settings.items())
