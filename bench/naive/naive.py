#!/usr/bin/env python3
"""What many would write for a start: boot QEMU, wait for a prompt, type commands, look at what comes back.

One boot for each row, one after the other, by pexpect alone; it knows nothing of the test bed. The scenarios beside
it (bench/scenarios/row-*.yaml) check the same.

usage: naive.py --qemu COMMAND --kernel VMLINUX --initrd CPIO --machine g5|pseries-970 --log FILE [ROW...]
"""

from __future__ import annotations

import argparse
import random
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

import pexpect

PROMPT = "/ # "
PATIENCE = 300
# QEMU's arguments, and dom0's console.
MACHINES = {
    # -nographic matters: with a display OpenBIOS waits for its screen for most of a minute.
    "g5": ("-M mac99,via=pmu -cpu 970fx -m 1024 -nodefaults -vga none -device virtio-rng-pci", "ttyPZ0"),
    "pseries-970": ("-M pseries -cpu 970mp -m 1536 -nodefaults -device virtio-rng-pci", "hvc0"),
}
DOMU = (
    "qemu-system-ppc64 -L /usr/share/qemu -M pseries,accel=kvm,kvm-type=PR,cap-cfpc=broken,cap-sbbc=broken,"
    "cap-ibs=broken,cap-hpt-max-page-size=4096,cap-vsx=off,cap-dfp=off,cap-htm=off,cap-large-decr=off,"
    "cap-ccf-assist=off,cap-fwnmi=off,resize-hpt=disabled,ic-mode=xics,kernel-irqchip=on,x-vof=on "
    "-cpu host -m 256M,maxmem=1024M,slots=2 -nographic -nodefaults"
)
GUEST = "-kernel /boot/domu/vmlinux -initrd /boot/domu/initramfs.cpio -append console=hvc0"
LINES = "-serial tcp:127.0.0.1:4001,server=on,wait=off -monitor tcp:127.0.0.1:4002,server=on,wait=off"
INTERRUPT = "\x03"


class Failed(Exception):
    """A check did not hold."""


class Machine:
    """A dom0, and what is typed at its console; while `inside`, that console is joined to the domU's by nc."""

    def __init__(self, qemu: str, name: str, kernel: str, initrd: str, log: TextIO) -> None:
        args, console = MACHINES[name]
        # Not `-serial stdio`: an interrupt is for the guest's shell.
        command = f"{qemu} {args} -nographic -chardev stdio,id=c,signal=off -serial chardev:c"
        command += f" -kernel {kernel} -initrd {initrd}"
        self.console = pexpect.spawn(f"{command} -append console={console}", encoding="latin-1", timeout=PATIENCE)
        self.console.delaybeforesend = None
        self.console.logfile_read = log
        self.prompt()

    def prompt(self) -> None:
        """Wait for a shell's prompt."""
        self.console.expect_exact(PROMPT)

    def do(self, command: str, status: int = 0) -> list[str]:
        """Type a command, wait for its end, and return the lines it printed."""
        self.console.sendline(f"{command}; echo status=$?")
        self.console.expect(r"status=(\d+)\r")
        before, ended = str(self.console.before), int(str(self.console.after).strip()[len("status=") :])
        if ended != status:
            raise Failed(f"`{command}` ended with {ended}:\n{before}")
        # The echo of the command comes first, once or twice, and may be broken into several lines.
        text = before.rsplit("status=$?", maxsplit=1)[-1]
        self.prompt()
        return [line for line in re.sub(r"\x1b\[[0-9;]*\w", "", text).replace("\r", "").split("\n") if line.strip()]

    def sum(self) -> None:
        """Let the shell compute something."""
        left, right = (random.randrange(100, 999) for _ in range(2))  # noqa: S311  (no secret)
        if (got := self.do(f"echo [$(({left} * {right}))]")[-1]) != f"[{left * right}]":
            raise Failed(f"{left} * {right} is {got}")

    def create(self, more: str = "") -> None:
        """Start a domU and join its console until it is there."""
        self.do(f"D='{DOMU} {GUEST} {LINES}'")
        self.start(more)
        self.console.sendline("nc 127.0.0.1 4001")
        self.prompt()

    def start(self, more: str) -> None:
        """Start a domU's QEMU in the background."""
        self.do(f"$D {more} </dev/null >/run/log 2>&1 & true")
        self.do("until grep -q ':0FA1 00000000:0000 0A' /proc/net/tcp; do usleep 50000; done")

    def leave(self) -> None:
        """Leave the domU's console for dom0's."""
        self.console.send(INTERRUPT)
        self.prompt()

    def enter(self) -> None:
        """Join the domU's console again."""
        self.console.sendline("nc 127.0.0.1 4001")
        self.console.sendline("")
        self.prompt()

    def monitor(self, command: str) -> str:
        """Give the domU's QEMU a command (from dom0)."""
        return "\n".join(self.do(f"( echo {command}; usleep 300000 ) | nc 127.0.0.1 4002"))

    def end(self) -> None:
        """Switch everything off."""
        self.console.close(force=True)


def dom0_boot(machine: Machine) -> None:
    """dom0 computes, its QEMU opens the hypervisor, it switches off."""
    machine.sum()
    machine.do("test -c /dev/kvm")
    machine.do(f"D='{DOMU}'")
    said = machine.do("printf 'info kvm\\nquit\\n' | $D -S -monitor stdio")
    if "kvm support: enabled" not in "\n".join(said):
        raise Failed(f"no KVM: {said}")
    machine.console.sendline("poweroff -f")
    machine.console.expect(pexpect.EOF)


def domu_boot(machine: Machine) -> None:
    """A domU boots, computes, switches off; dom0 still computes."""
    machine.create()
    machine.sum()
    machine.console.sendline("poweroff -f")
    machine.console.expect_exact("reboot: Power down")
    machine.leave()
    machine.do("wait")
    machine.sum()


def modules(machine: Machine) -> None:
    """A domU loads a module, works with it, and gives it back."""
    machine.create()
    machine.do("test ! -e /sys/class/net/dummy0")
    machine.do("insmod /lib/modules/dummy.ko")
    machine.do("grep -q '^dummy .* Live ' /proc/modules && lsmod | grep -q '^dummy '")
    machine.do("ip addr add 192.0.2.1/24 dev dummy0 && ip link set dummy0 up")
    machine.do("ip addr show dummy0 | grep -q 'inet 192.0.2.1/24'")
    machine.do("ping -c 3 -i 0.2 -W 1 192.0.2.9 >/dev/null", status=1)
    if (sent := machine.do("cat /sys/class/net/dummy0/statistics/tx_packets")[-1]) != "3":
        raise Failed(f"{sent} packets were sent")
    machine.do("rmmod dummy")
    machine.do("! grep -q '^dummy ' /proc/modules")
    machine.do("test ! -e /sys/class/net/dummy0")


def virtual_disk(machine: Machine) -> None:
    """A domU writes a file, reads it back, and dom0 finds it in the image."""
    machine.do("truncate -s 16M /run/data")
    machine.create(
        "-device spapr-vscsi,id=scsi -device scsi-hd,drive=data,bus=scsi.0 "
        "-drive if=none,id=data,format=raw,file=/run/data"
    )
    machine.do("mkfs.ext2 /dev/sda >/dev/null && mkdir -p /mnt/d && mount -t ext2 /dev/sda /mnt/d")
    machine.do("dd if=/dev/urandom of=/mnt/d/file bs=65536 count=32 conv=fsync && sync")
    written = machine.do("md5sum </mnt/d/file")[-1]
    machine.do("umount /mnt/d && echo 3 >/proc/sys/vm/drop_caches && mount -t ext2 -o ro /dev/sda /mnt/d")
    if (read := machine.do("md5sum </mnt/d/file")[-1]) != written:
        raise Failed(f"wrote {written}, read {read}")
    machine.do("test $(stat -c %s /mnt/d/file) = 2097152 && umount /mnt/d")
    machine.leave()
    machine.do("mkdir -p /mnt/look && mount -t ext2 -o ro,loop /run/data /mnt/look")
    if (found := machine.do("md5sum </mnt/look/file")[-1]) != written:
        raise Failed(f"the domU wrote {written}, dom0 finds {found}")
    machine.do("umount /mnt/look")


def virtual_network(machine: Machine) -> None:
    """A domU and dom0 ping each other; a file comes through."""
    machine.do("brctl addbr br0 && ip addr add 10.0.0.1/24 dev br0 && ip link set br0 up")
    machine.do("tunctl -t tap1 && brctl addif br0 tap1 && ip link set tap1 up")
    machine.create("-netdev tap,id=n0,ifname=tap1,script=no,downscript=no -device spapr-vlan,netdev=n0")
    machine.do("ip addr add 10.0.0.11/24 dev eth0 && ip link set eth0 up")
    machine.do("ping -c 3 -i 0.2 -W 2 10.0.0.1 | grep -q '3 packets received'")
    machine.leave()
    machine.do("ping -c 3 -i 0.2 -W 2 10.0.0.11 | grep -q '3 packets received'")
    machine.do("( nc -l -p 5001 >/run/got; touch /run/done ) </dev/null >/dev/null 2>&1 & true")
    machine.do("until grep -q ':1389 00000000:0000 0A' /proc/net/tcp; do usleep 50000; done")
    machine.enter()
    machine.do("dd if=/dev/urandom of=/run/sent bs=65536 count=32 && nc 10.0.0.1 5001 </run/sent")
    sent = machine.do("md5sum </run/sent")[-1]
    machine.leave()
    machine.do("until [ -e /run/done ]; do usleep 50000; done")
    if (got := machine.do("md5sum </run/got")[-1]) != sent:
        raise Failed(f"sent {sent}, got {got}")


def memory_ballooning(machine: Machine) -> None:
    """A domU gives memory back and gets it again; its own account agrees."""
    machine.create("-device virtio-balloon-pci")
    before, size = _total(machine), 256
    for target in (192, 128, 224):
        machine.leave()
        machine.monitor(f"balloon {target}")
        while f"actual={target}" not in machine.monitor("info balloon"):
            machine.do("usleep 500000")
        machine.enter()
        after = _total(machine)
        if abs((after - before) - (target - size)) > 2:
            raise Failed(f"{size} to {target} MiB, but MemTotal {before} to {after} MiB")
        before, size = after, target


def save_restore(machine: Machine) -> None:
    """A domU is saved and restored: the same boot, and it has kept what it had."""
    machine.create()
    machine.do("echo kept-it >/run/kept")
    boot = machine.do("cat /proc/sys/kernel/random/boot_id")[-1]
    machine.leave()
    machine.monitor("migrate file:/run/saved")
    while not re.search(r"[Ss]tatus:\s+completed", said := machine.monitor("info migrate")):
        if re.search(r"[Ss]tatus:\s+failed", said):
            raise Failed(said)
    machine.do("( echo quit; usleep 300000 ) | nc 127.0.0.1 4002; wait")
    machine.start("-incoming file:/run/saved")
    # What is typed before the state is in would be lost.
    while "VM status: running" not in machine.monitor("info status"):
        machine.do("usleep 100000")
    machine.enter()
    if machine.do("cat /run/kept")[-1] != "kept-it":
        raise Failed("what was kept is gone")
    if (again := machine.do("cat /proc/sys/kernel/random/boot_id")[-1]) != boot:
        raise Failed(f"another boot: {again}, was {boot}")


def _total(machine: Machine) -> int:
    return int(machine.do("grep MemTotal /proc/meminfo")[-1].split()[1]) >> 10


ROWS: dict[str, Callable[[Machine], None]] = {
    "dom0-boot": dom0_boot,
    "domu-boot": domu_boot,
    "modules": modules,
    "virtual-disk": virtual_disk,
    "virtual-network": virtual_network,
    "memory-ballooning": memory_ballooning,
    "save-restore": save_restore,
}


def main() -> int:
    """Run the rows; returns 1 if one of them failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("qemu", "kernel", "initrd"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--machine", required=True, choices=MACHINES)
    parser.add_argument("--log", required=True, type=Path, help="all that the consoles show goes to this file")
    parser.add_argument("rows", nargs="*", metavar="ROW", help=", ".join(ROWS))
    options = parser.parse_args()
    with options.log.open("w") as log:
        failed = [row for row in options.rows or ROWS if not run(row, options, log)]
    return 1 if failed else 0


def run(row: str, options: argparse.Namespace, log: TextIO) -> bool:
    """Boot, check one row, switch off; returns whether all was as it must be."""
    began = time.monotonic()
    machine = Machine(options.qemu, options.machine, options.kernel, options.initrd, log)
    try:
        ROWS[row](machine)
        word = "ok"
    except (Failed, pexpect.ExceptionPexpect, ValueError, IndexError) as error:
        word = f"FAILED: {error}"
    finally:
        machine.end()
    print(f"{options.machine:12} {row:18} {time.monotonic() - began:6.1f} s  {word}", flush=True)
    return word == "ok"


if __name__ == "__main__":
    sys.exit(main())
