"""Debian packages and sources through apt's signed indexes, in private apt roots.

A private root has its own configuration, lists and an empty dpkg status: nothing of the host's apt is used
but its mirror, its keyring and how it reaches the network (proxies), and nothing is installed.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import tempfile
import time
import urllib.parse
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from base.files import atomic_write, sha256_file
from images.errors import FetchError, tail
from images.lock import Pin, Pins
from images.mirror import OVERRIDE, Mirror
from images.process import Processes
from images.recipe import Arch, ClosureInput, DebianInput, PackageInput, PatchedSourceInput

HELPER = "/usr/lib/apt/apt-helper"
# Indexes change a few times a day; within this time (seconds) a second build asks the mirror nothing.
FRESH = 900.0
_OFFLINE = (
    "Could not resolve",
    "Temporary failure resolving",
    "Could not connect",
    "Connection failed",
    "Connection timed out",
    "Network is unreachable",
)
# How the host's apt reaches the network; the rest of its configuration (hooks, pins) is none of ours.
_INHERITED = re.compile(r"^Acquire::(https?|ftp|Retries|ForceIPv[46]|Check-Valid-Until|Check-Date)\b")
_URI_LINE = re.compile(r"^'([^']+)' (\S+) (\d+) SHA256:([0-9a-f]{64})$")


class Archive(Protocol):
    """Where Debian inputs come from: the seam at which tests put something else than apt."""

    def refresh(self, suite: str, arch: Arch) -> None:
        """Bring the signed indexes of a suite up to date. Raises FetchError."""

    def resolve(self, item: DebianInput, preferred: Pins | None) -> Pins:
        """Return the files of an input: the preferred ones where they still exist, else the newest ones.

        Raises FetchError when the suite has none.
        """

    def fetch(self, pins: Sequence[Pin], folder: Path) -> None:
        """Download files, each as `folder/<sha256>`. Raises FetchError."""


class AptArchive:
    """Debian's archive on a mirror, through apt. `root` holds the private apt roots."""

    def __init__(self, root: Path, mirror: Mirror, processes: Processes, log: Path) -> None:
        self._root = root
        self._mirror = mirror
        self._processes = processes
        self._log = log

    def refresh(self, suite: str, arch: Arch) -> None:
        """Bring the signed indexes of a suite up to date, unless they just were. Raises FetchError."""
        folder = self._prepared(suite, arch)
        stamp = folder / "refreshed"
        # The source line is part of the stamp: another mirror means other indexes.
        wanted = self._mirror.source_lines(suite)
        try:
            if stamp.read_text() == wanted and 0 <= time.time() - stamp.stat().st_mtime < FRESH:
                return
        except OSError:
            pass
        stamp.unlink(missing_ok=True)
        code = self._processes.run(
            ["apt-get", "update", "-o", "APT::Update::Error-Mode=any"], log=self._log, cwd=folder, env=_env(folder)
        )
        if code:
            raise self._failed(f"cannot refresh the index of Debian {suite}")
        atomic_write(stamp, wanted)

    def resolve(self, item: DebianInput, preferred: Pins | None) -> Pins:
        """Return the files of an input. Raises FetchError."""
        arch: Arch = getattr(item, "arch", "amd64")
        folder = self._prepared(item.suite, arch)
        if isinstance(item, ClosureInput):
            return self._closure(folder, item, preferred)
        match item:
            case PackageInput():
                name, known = item.package, self._packages(folder, item)
            case PatchedSourceInput():
                name, known = (
                    f"source {item.patched_source}",
                    self._sources(folder, item.patched_source, "orig", "debian"),
                )
            case _:
                name, known = f"source {item.source}", self._sources(folder, item.source, "orig")
        if not known:
            raise FetchError(
                f"Debian {item.suite} has no {name} for {arch}", hint="is the name right, and is it in `main`?"
            )
        wanted = set(preferred or ())
        from debian.debian_support import Version  # noqa: PLC0415  (lazy: only a download needs it)

        if locked := next((pins for pins in known if set(pins) == wanted), None):
            return locked
        if preferred and self._serves(preferred):
            return preferred
        return max(known, key=lambda pins: Version(pins[0].version))

    def _serves(self, pins: Pins) -> bool:
        """Whether the mirror still has files that its index no longer names (what was locked was in a signed one)."""
        with tempfile.TemporaryDirectory(dir=self._root) as folder:
            try:
                self.fetch(pins, Path(folder))
            except FetchError:
                return False
        return True

    def fetch(self, pins: Sequence[Pin], folder: Path) -> None:
        """Download files, each as `folder/<sha256>`, checked on arrival. Raises FetchError."""
        command = [HELPER, "download-file"]
        for pin in pins:
            command += [f"{self._mirror.uri}/{urllib.parse.quote(pin.filename)}", str(folder / pin.sha256)]
            command += [f"SHA256:{pin.sha256}"]
        root = next(iter(sorted(self._root.glob("*/apt.conf"))), None)
        env = _env(root.parent) if root else None
        code = self._processes.run(command, log=self._log, cwd=folder, env=env)
        for pin in pins:
            path = folder / pin.sha256
            if code or not path.is_file() or sha256_file(path) != pin.sha256:
                raise self._failed(f"cannot download {pin.filename}")

    def _failed(self, message: str) -> FetchError:
        text = tail(self._log, 6)
        hint = f"{OVERRIDE} names another mirror"
        if any(sign in text for sign in _OFFLINE):
            hint = f"the mirror cannot be reached: is there a network, or a proxy to configure for apt? {hint}"
        elif "NO_PUBKEY" in text or "not signed" in text:
            hint = "the host's Debian keyring does not know the archive's key: upgrade debian-archive-keyring"
        return FetchError(f"{message}\n{text}", hint=hint, where=str(self._log))

    def _prepared(self, suite: str, arch: Arch) -> Path:
        folder = self._root / f"{suite}-{arch}"
        for name in ("lists/partial", "archives/partial", "etc/preferences.d", "etc/sources.list.d", "etc/trusted"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / "status").touch()
        settings = {
            "Dir": f"{folder}/",
            "Dir::State": f"{folder}/",
            "Dir::State::status": f"{folder}/status",
            "Dir::State::lists": f"{folder}/lists/",
            "Dir::Cache": f"{folder}/",
            "Dir::Cache::archives": f"{folder}/archives/",
            "Dir::Etc": f"{folder}/etc/",
            "Dir::Etc::sourcelist": f"{folder}/etc/sources.list",
            "Dir::Etc::sourceparts": f"{folder}/etc/sources.list.d/",
            "Dir::Etc::preferences": f"{folder}/etc/preferences",
            "Dir::Etc::preferencesparts": f"{folder}/etc/preferences.d/",
            "Dir::Etc::trustedparts": f"{folder}/etc/trusted/",
            "Dir::Etc::main": "/dev/null",
            "Dir::Etc::parts": "/dev/null",
            "Dir::Bin::methods": "/usr/lib/apt/methods",
            "Dir::Log": f"{folder}/",
            "APT::Architecture": arch,
            "APT::Install-Recommends": "false",
            "APT::Get::List-Cleanup": "true",
            # As root apt would become _apt, which may not write into this folder.
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
        }
        lines = [f'{key} "{value}";' for key, value in settings.items()]
        text = "\n".join([*lines, f'APT::Architectures {{ "{arch}"; }};', *_network_settings(), ""])
        _write_if_changed(folder / "apt.conf", text)
        _write_if_changed(folder / "etc" / "sources.list", self._mirror.source_lines(suite))
        return folder

    def _closure(self, folder: Path, item: ClosureInput, preferred: Pins | None) -> Pins:
        pinned = [
            f"Package: {pin.name}\nPin: version {pin.version}\nPin-Priority: 1001\n" for pin in sorted(preferred or ())
        ]
        atomic_write(folder / "etc" / "preferences", "\n".join(pinned))
        options = ["-o", "Acquire::ForceHash=SHA256", "-o", "APT::Get::Allow-Downgrades=true"]
        options += ["--target-release", item.suite]
        text = _output(folder, ["apt-get", "--print-uris", "-y", *options, "install", *item.closure])
        pins = []
        for line in text.splitlines():
            if match := _URI_LINE.match(line):
                uri, local, size, sha256 = match.groups()
                name, version, _arch = urllib.parse.unquote(local).removesuffix(".deb").split("_")
                filename = urllib.parse.unquote(uri.removeprefix(self._mirror.uri).lstrip("/"))
                pins.append(Pin(name, version, filename, sha256, int(size)))
        return tuple(sorted(pins))

    def _packages(self, folder: Path, item: PackageInput) -> list[Pins]:
        from debian.deb822 import Packages  # noqa: PLC0415  (lazy: only a download needs it)

        text = _output(folder, ["apt-cache", "show", item.package])
        return [
            (Pin(part["Package"], part["Version"], part["Filename"], part["SHA256"], int(part["Size"])),)
            for part in Packages.iter_paragraphs(text, use_apt_pkg=False)
            if part.get("Package") == item.package and "Filename" in part
        ]

    def _sources(self, folder: Path, name: str, *parts: str) -> list[Pins]:
        """Return the archives of these parts (`orig`, `debian`) of each version that has all of them."""
        from debian.deb822 import Sources  # noqa: PLC0415  (lazy: only a download needs it)

        # Files and digests come from the signed index itself: not every mirror still holds the .dsc.
        text = _output(folder, ["apt-cache", "showsrc", name])
        found: list[Pins] = []
        for part in Sources.iter_paragraphs(text, use_apt_pkg=False):
            if part.get("Package") != name:
                continue
            pins = tuple(
                Pin(name, part["Version"], f"{part['Directory']}/{file['name']}", file["sha256"], int(file["size"]))
                for file in part["Checksums-Sha256"]
                if re.search(rf"\.({'|'.join(parts)})\.tar\.\w+$", file["name"])
            )
            if len(pins) == len(parts):
                found.append(pins)
        return found


def _output(folder: Path, command: list[str]) -> str:
    done = subprocess.run(command, env=_env(folder), capture_output=True, text=True, check=False)
    if done.returncode:
        # `apt-cache show` of an unknown name: "E: No packages found".
        if command[0] == "apt-cache" and ("No packages found" in done.stderr or "Unable to locate" in done.stderr):
            return ""
        raise FetchError(f"{' '.join(command)} failed:\n{done.stderr.strip()}", where=str(folder))
    return done.stdout


def _env(folder: Path) -> dict[str, str]:
    return {**os.environ, "APT_CONFIG": str(folder / "apt.conf"), "LC_ALL": "C.UTF-8"}


@functools.cache
def _network_settings() -> tuple[str, ...]:
    if not shutil.which("apt-config"):
        raise FetchError("there is no apt on this host", hint="images are made on Debian or a relative of it")
    done = subprocess.run(["apt-config", "dump", "Acquire"], capture_output=True, text=True, check=False)
    return tuple(line for line in done.stdout.splitlines() if _INHERITED.match(line))


def _write_if_changed(path: Path, text: str) -> None:
    try:
        if path.read_text() == text:
            return
    except OSError:
        pass
    atomic_write(path, text)
