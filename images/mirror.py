"""Which Debian mirror to use: the one that this machine's own apt configuration names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from images.errors import FetchError

OVERRIDE = "TESTBED_MIRROR"
KEYRINGS = ("/usr/share/keyrings/debian-archive-keyring.gpg", "/usr/share/keyrings/debian-archive-keyring.pgp")


@dataclass(frozen=True)
class Mirror:
    """Where a Debian archive is and what its signatures are checked with.

    `options` are those of a one-line apt source ("signed-by=/usr/share/keyrings/...").
    """

    uri: str
    options: str = ""

    def source_lines(self, suite: str) -> str:
        """Return the text of a `sources.list` for the packages and the sources of a suite.

        Backports are no suite of their own: what they depend on is in the release that they are for.
        """
        options = f"[{self.options}] " if self.options else ""
        suites = dict.fromkeys((suite, suite.removesuffix("-backports")))
        return "".join(f"{kind} {options}{self.uri} {name} main\n" for name in suites for kind in ("deb", "deb-src"))


@dataclass(frozen=True)
class _Entry:
    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    signed_by: str


def find_mirror(etc: Path = Path("/etc")) -> Mirror:
    """Return the mirror to use: `TESTBED_MIRROR`, or the first entry of apt's sources (both formats) that
    carries this Debian release with `main` (not its security or updates archive).

    Raises FetchError when neither tells.
    """
    codename = _os_release(etc).get("VERSION_CODENAME", "")
    entries = list(_entries(etc / "apt"))
    match = next(
        (entry for entry in entries if {codename, "stable"} & set(entry.suites) and "main" in entry.components), None
    )
    keyring = match.signed_by if match and Path(match.signed_by).is_file() else _keyring()
    options = f"signed-by={keyring}" if keyring else ""
    if named := os.environ.get(OVERRIDE):
        return Mirror(named.rstrip("/"), options)
    if match is None:
        raise FetchError(
            f"apt's sources name no Debian mirror for '{codename or 'this release'}' with component main",
            hint=f"set {OVERRIDE} to the address of one (the folder that holds dists/ and pool/)",
            where=str(etc / "apt"),
        )
    return Mirror(match.uri.rstrip("/"), options)


def _keyring() -> str:
    return next((path for path in KEYRINGS if Path(path).is_file()), "")


def _os_release(etc: Path) -> dict[str, str]:
    try:
        text = (etc / "os-release").read_text()
    except OSError:
        return {}
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
    return {key: value.strip("\"'") for key, _, value in pairs}


def _entries(apt: Path) -> Iterator[_Entry]:
    files = [apt / "sources.list", *sorted((apt / "sources.list.d").glob("*"))]
    for path in files:
        try:
            text = path.read_text(errors="replace")
        except OSError:
            continue
        if path.suffix == ".sources":
            yield from _deb822(text)
        elif path.suffix == ".list":
            yield from _one_line(text)


def _one_line(text: str) -> Iterator[_Entry]:
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        if not words or words.pop(0) != "deb":
            continue
        options: list[str] = []
        if words and words[0].startswith("["):
            while words:
                word = words.pop(0)
                options.append(word.strip("[]"))
                if word.endswith("]"):
                    break
        if len(words) < 3:
            continue
        signed = next((item.partition("=")[2] for item in options if item.startswith("signed-by=")), "")
        yield _Entry(words[0], (words[1],), tuple(words[2:]), signed)


def _deb822(text: str) -> Iterator[_Entry]:
    from debian.deb822 import Deb822  # noqa: PLC0415  (lazy: only a download needs it)

    for paragraph in Deb822.iter_paragraphs(text):
        types = paragraph.get("Types", "").split()
        if "deb" not in types or paragraph.get("Enabled", "yes").lower() in ("no", "false"):
            continue
        for uri in paragraph.get("URIs", "").split():
            yield _Entry(
                uri,
                tuple(paragraph.get("Suites", "").split()),
                tuple(paragraph.get("Components", "").split()),
                paragraph.get("Signed-By", "").strip(),
            )
