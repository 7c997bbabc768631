"""The outer QEMUs there are: those of Debian's releases by version, and a developer's own build by its path."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import images
from base.errors import InfraError, UsageError
from base.yamlmodel import suggest
from images import Artifact
from sim.platform import Architecture

# Images of outer QEMUs are named by what they simulate and their version; one built with patches has a word of its own.
_IMAGE = re.compile(r"^qemu-(x86-)?([\w.+-]+)$")
# ... but for the one that dom0 runs.
_INSIDE = "qemu-970"
_PACKAGES = ("qemu-system-ppc", "qemu-system-x86", "qemu")
# Debian's versions: [epoch:]upstream[+repack][-revision].
_UPSTREAM = re.compile(r"(?:\d+:)?(\d+(?:\.\d+)+)")
_SAYS = re.compile(r"QEMU emulator version (\d+(?:\.\d+)+)")
# A QEMU tells its version at once (s).
PATIENCE = 20.0


@dataclass(frozen=True)
class OwnQemu:
    """A QEMU that the user built: the program, and its SHA-256."""

    path: Path
    digest: str

    @property
    def name(self) -> str:
        """How it is called in messages."""
        return str(self.path)


@cache
def known_qemus(architecture: Architecture = "ppc64") -> dict[str, str]:
    """Return the images of outer QEMUs that simulate an architecture, by the word for which `--qemu` takes them."""
    names = (name for name in images.load_catalogue().names if name != _INSIDE)
    found = (match for name in names if (match := _IMAGE.match(name)))
    return dict(sorted((match[2], match[0]) for match in found if bool(match[1]) == (architecture == "x86_64")))


def own_qemu(word: str | None) -> Path | None:
    """Return the program of the user's that `--qemu` names; None when it names an image, or nothing.

    Raises UsageError when it names neither.
    """
    if word is None or word in known_qemus():
        return None
    path = Path(word).absolute()
    if not path.is_file():
        if "/" in word:
            raise UsageError(f"no QEMU at {word}", hint="give the path of a qemu-system-ppc64")
        known = list(known_qemus())
        raise UsageError(f"no QEMU '{word}'{suggest(word, known)}, or name the file of a qemu-system-ppc64")
    own_version(path)
    return path


@cache
def own_version(path: Path) -> str:
    """Return the version that a QEMU of the user's says it is. Raises UsageError when it says none."""
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"{path} does not run: {error}", hint="give the path of a qemu-system-ppc64") from error
    if (found := _SAYS.search(done.stdout)) is None:
        said = (done.stderr or done.stdout).strip().partition("\n")[0] or "nothing"
        raise UsageError(f"{path} is no QEMU: to `--version` it said {said}", hint="give a qemu-system-ppc64")
    return found[1]


def image_version(artifact: Artifact) -> str:
    """Return the upstream version of the outer QEMU in an image; one built from source has its word behind.

    Raises InfraError.
    """
    for origin in artifact.provenance.inputs:
        if origin.name in _PACKAGES and (found := _UPSTREAM.match(origin.version)):
            if origin.kind != "source":
                return found[1]
            return f"{found[1]}+{artifact.name.removeprefix('qemu-').removeprefix('x86-')}"
    raise InfraError(f"image {artifact.name} does not record the version of {' or '.join(_PACKAGES)}")
