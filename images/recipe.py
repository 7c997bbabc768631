"""The models of a recipe file. What each key means for an author is in docs/images.md."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, StringConstraints, Tag, field_validator, model_validator

from base.yamlmodel import Model

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.+-]*$")]
# A package's, in which a variant's `{variable}` may stand.
PackageName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9{][a-z0-9.+_{}-]*$")]
Suite = Annotated[str, StringConstraints(pattern=r"^([a-z]+(-backports)?|\{[a-z]+\})$")]
Arch = Literal["amd64", "arm64", "ppc64el"]
Alias = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
Mode = Annotated[str, StringConstraints(pattern=r"^0[0-7]{3,4}$")]


def by_key(*keys: str) -> Discriminator:
    """Return a discriminator that tells union members apart by the one key that only they have."""

    def pick(value: Any) -> str | None:
        found = [
            key for key in keys if (key in value if isinstance(value, dict) else hasattr(value, key.replace("-", "_")))
        ]
        return found[0] if found else None

    return Discriminator(
        pick,
        custom_error_type="unknown_kind",
        custom_error_message=f"one of these keys is needed: {', '.join(keys)}",
    )


class _Input(Model):
    alias: Alias | None = Field(default=None, alias="as")

    def _word(self) -> str:
        raise NotImplementedError

    @property
    def handle(self) -> str:
        """Return the name by which the recipe refers to this input: `as`, or its own name as a plain word."""
        return self.alias or re.sub(r"[^a-z0-9]+", "_", self._word().lower()).strip("_")


class PackageInput(_Input):
    """One Debian package, unpacked; with `unpack`, the archive of that name inside it, unpacked as well."""

    package: PackageName
    suite: Suite
    arch: Arch = "amd64"
    unpack: str | None = None

    def _word(self) -> str:
        return self.package


class ClosureInput(_Input):
    """Debian packages with everything they depend on, unpacked into one tree."""

    closure: Annotated[list[PackageName], Field(min_length=1)]
    suite: Suite
    arch: Arch = "amd64"

    def _word(self) -> str:
        return self.closure[0]


class SourceInput(_Input):
    """The upstream archive of a Debian source package, unpacked."""

    source: Name
    suite: Suite

    def _word(self) -> str:
        return self.source


class PatchedSourceInput(_Input):
    """A Debian source package, unpacked and with Debian's own patches applied, as Debian builds it."""

    patched_source: Name
    suite: Suite

    def _word(self) -> str:
        return self.patched_source


class ImageInput(_Input):
    """Another recipe's artifact."""

    image: str

    def _word(self) -> str:
        return self.image


class FileInput(_Input):
    """A file of this project, by its path below `images/`."""

    file: str

    def _word(self) -> str:
        return self.file.rpartition("/")[2]

    def below(self, base: Path) -> Path:
        """Return where it is."""
        return base / self.file


class FolderInput(_Input):
    """A folder of this project with all files in it, by its path from `images/`."""

    folder: str

    def _word(self) -> str:
        return self.folder.rpartition("/")[2]

    def below(self, base: Path) -> Path:
        """Return where it is."""
        return base / self.folder

    def files(self, base: Path) -> list[Path]:
        """Return its files, sorted; what Python leaves beside a program is none."""
        found = (path for path in self.below(base).rglob("*") if path.is_file())
        return sorted(path for path in found if path.parent.name != "__pycache__")


Input = Annotated[
    Annotated[PackageInput, Tag("package")]
    | Annotated[ClosureInput, Tag("closure")]
    | Annotated[SourceInput, Tag("source")]
    | Annotated[PatchedSourceInput, Tag("patched-source")]
    | Annotated[ImageInput, Tag("image")]
    | Annotated[FileInput, Tag("file")]
    | Annotated[FolderInput, Tag("folder")],
    by_key("package", "closure", "source", "patched-source", "image", "file", "folder"),
]
DebianInput = PackageInput | ClosureInput | SourceInput | PatchedSourceInput


class DirectoryEntry(Model):
    """An empty folder of an initramfs."""

    directory: str
    mode: Mode = "0755"


class FileEntry(Model):
    """A file of an initramfs: `from` is `<input>:<path in it>`, or `<input>` for a project file."""

    file: str
    source: str = Field(alias="from")
    mode: Mode = "0644"


class SymlinkEntry(Model):
    """A symbolic link of an initramfs."""

    symlink: str
    to: str


class LinksEntry(Model):
    """One symbolic link to `to` for each line (an absolute path) of a file of an input."""

    links: str
    to: str


class ProgramsEntry(Model):
    """Programs (and libraries) of unpacked packages, each at its path there, with all the libraries they need."""

    programs: list[str] = Field(min_length=1)
    source: str = Field(alias="from")


class ModulesEntry(Model):
    """Kernel modules with what they depend on, and the list by which `modprobe` finds them.

    `from` is a folder of them, `release` a file with the kernel's release.
    """

    modules: list[str] = Field(min_length=1)
    source: str = Field(alias="from")
    release: str


class FolderEntry(Model):
    """A folder `<input>:<path>` with all that is in it, but for what `drop` names there."""

    folder: str
    source: str = Field(alias="from")
    drop: list[str] = Field(default_factory=list)


class NodeEntry(Model):
    """A device node of an initramfs."""

    node: str
    type: Literal["char", "block"] = "char"
    major: int
    minor: int
    mode: Mode = "0600"


Entry = Annotated[
    Annotated[DirectoryEntry, Tag("directory")]
    | Annotated[FileEntry, Tag("file")]
    | Annotated[SymlinkEntry, Tag("symlink")]
    | Annotated[LinksEntry, Tag("links")]
    | Annotated[ProgramsEntry, Tag("programs")]
    | Annotated[ModulesEntry, Tag("modules")]
    | Annotated[FolderEntry, Tag("folder")]
    | Annotated[NodeEntry, Tag("node")],
    by_key("directory", "file", "symlink", "links", "programs", "modules", "folder", "node"),
]


class Initramfs(Model):
    """How to pack an initramfs; `file` is its name in the artifact."""

    file: str = "initramfs.cpio"
    entries: list[Entry]


class Tree(Model):
    """Keep the unpacked closure as it is, without the folders named by `drop`."""

    drop: list[str] = Field(default_factory=list)


class RewriteSc1(Model):
    """Copy a file with every aligned `sc 1` replaced; `count` sites must be found. `keep` names a plain copy."""

    source: str = Field(alias="from")
    to: str
    count: int = Field(ge=1)
    keep: str | None = None


class Build(Model):
    """How an artifact is made: exactly one of the keys."""

    shell: str | None = None
    tree: Tree | None = None
    initramfs: Initramfs | None = None
    rewrite_sc1: RewriteSc1 | None = None
    files: dict[str, str] | None = None

    @model_validator(mode="after")
    def _one(self) -> Build:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            known = "shell, tree, initramfs, rewrite-sc1, files"
            raise ValueError(f"a build needs exactly one of {known}; found {', '.join(given) or 'none'}")
        return self


class Variant(Model):
    """What one variant of a recipe adds."""

    patches: dict[Alias, list[str]] = Field(default_factory=dict)
    variables: dict[Alias, str] = Field(default_factory=dict)
    after: list[str] = Field(default_factory=list)


class Recipe(Model):
    """One recipe file, or one variant of it after expansion (then `variants` is empty)."""

    name: Name
    summary: str
    inputs: list[Input] = Field(default_factory=list)
    patches: dict[Alias, list[str]] = Field(default_factory=dict)
    variables: dict[Alias, str] = Field(default_factory=dict)
    tools: list[str] = Field(default_factory=list)
    after: list[str] = Field(default_factory=list)
    variants: dict[Name, Variant] = Field(default_factory=dict)
    build: Build

    @field_validator("variants", mode="before")
    @classmethod
    def _empty_variants(cls, value: Any) -> Any:
        # `stock:` alone, with nothing below it, is the natural way to write an empty variant.
        return {key: item or {} for key, item in value.items()} if isinstance(value, dict) else value
