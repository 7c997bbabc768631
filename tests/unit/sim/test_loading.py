"""What QEMU is told to load."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.loading import Entry, Loading

K, INITRD, H = Path("/k"), Path("/i"), Path("/h")


@pytest.mark.parametrize(
    ("entry", "initrd", "hypervisor", "own", "wanted"),
    [
        ("kernel", INITRD, None, "", ["-kernel", "/k", "-append", "a=1,2", "-initrd", "/i"]),
        ("kernel", None, None, "", ["-kernel", "/k", "-append", "a=1,2"]),
        ("initrd", None, H, "com1", ["-kernel", "/h", "-append", "com1 -- a=1,2", "-initrd", "/k"]),
        ("initrd", None, H, "", ["-kernel", "/h", "-append", "a=1,2", "-initrd", "/k"]),
        ("modules", INITRD, H, "com1", ["-kernel", "/h", "-append", "com1", "-initrd", "/k a=1,,2,/i"]),
        ("modules", None, H, "", ["-kernel", "/h", "-append", "", "-initrd", "/k a=1,,2"]),
        ("linked-in", None, None, "com1", ["-kernel", "/k", "-append", "com1 -- a=1,2"]),
        ("none", None, None, "com1", ["-kernel", "/k", "-append", "com1"]),
        ("none", None, None, "", ["-kernel", "/k", "-append", "a=1,2"]),
    ],
)
def test_each_way_into_dom0(
    entry: Entry, initrd: Path | None, hypervisor: Path | None, own: str, wanted: list[str]
) -> None:
    assert Loading(entry, K, "a=1,2", initrd, hypervisor, own).arguments() == wanted
