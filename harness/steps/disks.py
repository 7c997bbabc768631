"""Verbs of virtual disks: images in dom0, what a domU writes to them, and what is then in the image."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field

from harness.cell import Cell
from harness.domain import Disk
from harness.steps.answering import DomainParams
from harness.verbs import Seconds, StepFailed, StepParams, verb
from sim.platform import DOM0

FOLDER = "/run/disks"
SHARED = "/dev/vda"
PLUG_PATIENCE = 10
# How a domU is told: the words of EROFS, EPERM; EIO, ENOSPC.
READ_ONLY = "Read-only file system|Operation not permitted"
IO_ERROR = "Input/output error|No space left on device"
# Finds the block device of a domU by the disk's size, which is why disks of one domU must differ in it.
_FIND = """
disk=
for sysfs in /sys/block/sd* /sys/block/xvd*; do
    [ "$(cat $sysfs/size 2>/dev/null)" = {sectors} ] && disk=/dev/${{sysfs##*/}}
done
"""
_FOUND = '[ -n "$disk" ] || {{ echo "no disk of {size} MiB among:" /sys/block/*; exit 1; }}\n'


class DiskParams(StepParams):
    """Parameters of `disk`: its size in MiB; how many MiB dom0 has room for; or the disk that all dom0s share."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*$")]
    size: Annotated[int, Field(gt=0)] = 16
    room: Annotated[int, Field(gt=0)] | None = None
    shared: bool = False
    host: str = DOM0


class DomainDiskParams(DomainParams):
    """Parameters of verbs about one disk of a domU."""

    disk: str
    within: Seconds = 60.0


class WriteParams(DomainDiskParams):
    """Parameters of `keeps-files`: how many MiB are written."""

    size: Annotated[int, Field(gt=0)] = 2


class ShownParams(DomainDiskParams):
    """Parameters of `sees-disk`: whether the domU must see it or not."""

    state: Literal["present", "absent"] = "present"


def find_disk(cell: Cell, name: str) -> str:
    """Return the script that sets `disk` to the device of a disk in a domU, or fails. Raises StepFailed."""
    disk = known_disk(cell, name)
    return _FIND.format(sectors=disk.size << 11) + _FOUND.format(size=disk.size)


def known_disk(cell: Cell, name: str) -> Disk:
    """Return a disk that a step `disk` has made. Raises StepFailed."""
    if name not in cell.disks:
        raise StepFailed(f"no disk {name}", hint=f"put the step `disk: {name}` before this one")
    return cell.disks[name]


@verb("disk", shorthand="name")
async def disk(cell: Cell, params: DiskParams) -> str:
    """Make a disk image in dom0."""
    if params.shared:
        wanted = cell.spec.scenario.machine.shared_disk
        made = Disk(params.name, wanted, SHARED, block_device=True)
        script = f"blockdev --getsize64 {SHARED}"
    else:
        folder = f"{FOLDER}/{params.name}"
        made = Disk(params.name, params.size, f"{folder}/image")
        limit = f"mount -t tmpfs -o size={params.room}m tmpfs {folder}" if params.room else "true"
        script = f"set -e; mkdir -p {folder}; {limit}; truncate -s {params.size}M {made.path}; stat -c %s {made.path}"
    answer = await cell.run(params.host, script, params.within)
    if answer.status != 0 or int(answer.output) != made.size << 20:
        raise StepFailed(f"{params.host} has no disk of {made.size} MiB: {answer.output.strip()}")
    cell.disks[params.name] = made
    return f"{made.size} MiB, {made.path}"


@verb("keeps-files")
async def keeps_files(cell: Cell, params: WriteParams) -> str:
    """Write a file to a file system on a disk, flush, unmount, forget, mount, and read it back: same checksum."""
    script = f"""
        {find_disk(cell, params.disk)}
        set -e
        mke2fs $disk >/dev/null
        mkdir -p /mnt/{params.disk}
        mount -t ext2 $disk /mnt/{params.disk}
        dd if=/dev/urandom of=/mnt/{params.disk}/file bs=65536 count={params.size * 16} conv=fsync 2>/dev/null
        sync
        md5sum </mnt/{params.disk}/file
        umount /mnt/{params.disk}
        echo 3 >/proc/sys/vm/drop_caches
        mount -t ext2 -o ro $disk /mnt/{params.disk}
        md5sum </mnt/{params.disk}/file
        stat -c %s /mnt/{params.disk}/file
        umount /mnt/{params.disk}
    """
    output = await cell.must(params.domain, script, params.within)
    written, read, size = output.splitlines()
    if written != read or int(size) != params.size << 20:
        raise StepFailed(f"{params.domain} wrote {written}, and read {size} bytes, {read}")
    cell.notes[f"file-on-{params.disk}"] = written
    return f"{size} bytes, {written.split()[0]}"


@verb("image-has-file")
async def image_has_file(cell: Cell, params: DomainDiskParams) -> str:
    """Mount the image in dom0 and compare the checksum of the file that the domU wrote with `keeps-files`."""
    wanted = cell.notes.get(f"file-on-{params.disk}")
    if wanted is None:
        raise StepFailed(f"no file was written to {params.disk}", hint="put the step `keeps-files` before this one")
    host, path = cell.domain(params.domain).host.name, known_disk(cell, params.disk).path
    script = f"set -e; mkdir -p /mnt/look; mount -t ext2 -o ro,loop {path} /mnt/look; md5sum </mnt/look/file"
    answer = await cell.run(host, f"{script}; umount /mnt/look", params.within)
    if answer.status != 0 or answer.output.strip() != wanted:
        raise StepFailed(f"{host} finds {answer.output.strip()} in {path}, {params.domain} wrote {wanted}")
    return f"{path}: {wanted.split()[0]}"


@verb("refuses-writes")
async def refuses_writes(cell: Cell, params: DomainDiskParams) -> str:
    """Write to a disk that must not be written: the domU gets an error, and the image stays as it was."""
    host, path = cell.domain(params.domain).host.name, known_disk(cell, params.disk).path
    before = (await cell.run(host, f"md5sum <{path}", params.within)).output
    script = f"{find_disk(cell, params.disk)}\ndd if=/dev/urandom of=$disk bs=512 count=8 conv=fsync && echo written"
    answer = await cell.run(params.domain, script, params.within)
    after = (await cell.run(host, f"md5sum <{path}", params.within)).output
    if "written" in answer.output or after != before:
        raise StepFailed(f"{params.domain} wrote to {params.disk}, which is read-only: {answer.output.strip()}")
    if not re.search(READ_ONLY, answer.output):
        raise StepFailed(f"{params.domain} was not told that {params.disk} is read-only: {answer.output.strip()}")
    return answer.output.strip().splitlines()[-1]


@verb("fails-when-image-cannot-grow")
async def fails_when_full(cell: Cell, params: DomainDiskParams) -> str:
    """Fill a disk whose image dom0 has no room for: the domU must be told of the I/O error, and live on."""
    size = known_disk(cell, params.disk).size
    script = f"{find_disk(cell, params.disk)}\ndd if=/dev/zero of=$disk bs=1M count={size} conv=fsync && echo written"
    # Zeros count: a raw image has no holes where they are written.
    answer = await cell.run(params.domain, script, params.within)
    if "written" in answer.output or not re.search(IO_ERROR, answer.output):
        raise StepFailed(f"{params.domain} was not told that its disk failed: {answer.output.strip()}")
    await cell.wait(f"{params.domain} answers", cell.shell(params.domain).challenge(), 30, domain=params.domain)
    return answer.output.strip().splitlines()[-1]


@verb("sees-disk")
async def sees_disk(cell: Cell, params: ShownParams) -> None:
    """Look whether a domU has a disk, within a few seconds: its kernel takes notice of a change in its own time."""
    wanted = "-n" if params.state == "present" else "-z"
    find = _FIND.format(sectors=known_disk(cell, params.disk).size << 11)
    script = f"""
        for _ in $(seq {PLUG_PATIENCE * 10}); do
            {find}
            [ {wanted} "$disk" ] && exit 0
            usleep 100000
        done
        echo "in /sys/block are" $(ls /sys/block); exit 1
    """
    await cell.must(params.domain, script, params.within)


@verb("block-attach")
async def block_attach(cell: Cell, params: DomainDiskParams) -> None:
    """Plug a disk into a running domU through the toolstack."""
    disk, domain = known_disk(cell, params.disk), cell.domain(params.domain)
    what = f"{params.disk} is plugged into {params.domain}"
    await cell.control(params.domain, what, cell.toolstack.attach_disk(domain, disk), params.within)


@verb("block-detach")
async def block_detach(cell: Cell, params: DomainDiskParams) -> None:
    """Take a disk out of a running domU through the toolstack."""
    disk, domain = known_disk(cell, params.disk), cell.domain(params.domain)
    what = f"{params.disk} is taken out of {params.domain}"
    await cell.control(params.domain, what, cell.toolstack.detach_disk(domain, disk), params.within)
