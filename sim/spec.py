"""What a machine is made of, and the QEMU command line that this comes to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sim.alarms import AlarmRule
from sim.loading import Entry, Loading
from sim.platform import DOM0, Accelerator, Platform
from sim.qemu import QemuBinary

# Of a virtio-serial device's ports so many at most. For each, QEMU puts three messages into a queue of 32 when the
# guest's driver starts, and drops what does not fit (hw/char/virtio-serial-bus.c, send_control_msg). A port that never
# hears that it is connected hangs up on whoever opens it; QEMU 7.2 loses the eleventh port's and those after it.
PORTS_EACH = 8
# Of one that has a PCI Express port to itself, and no other beside it, as many as QEMU gives by default.
ALL_PORTS = 30


@dataclass(frozen=True)
class Ram:
    """The file that is a machine's memory, by its descriptor. What is written to a `private` one stays in QEMU."""

    descriptor: int
    private: bool

    @property
    def backend(self) -> str:
        """QEMU's object for it, called `ram`, but for its size."""
        return f"memory-backend-file,id=ram,mem-path=/proc/self/fd/{self.descriptor},share={_switch(not self.private)}"


def _switch(on: bool) -> str:
    return "on" if on else "off"


@dataclass(frozen=True)
class MachineSpec:
    """What to start. `ports` are named virtio-serial ports; `memory` is in MiB; `args` go to QEMU as they are.

    `name` is what its evidence is called after, `hostname` its dom0 ("": the same); `fds` are descriptors that `args`
    speak of, handed down as they are. `alarms` are looked for on its consoles besides those of any Linux. Unless it
    `may_reboot`, a reset from inside stops the machine, as a power-off does. Its memory is QEMU's own, or the file
    `ram`; one that is `incoming` waits for a saved state; `random` is whether it has its platform's random device.
    A `hypervisor` that is not dom0's kernel starts first, with arguments of its own, and enters that as `entry` says.
    `bios` is a firmware of the user's, in place of the platform's default. With a `screen` its kernel's log is
    there too. `accelerator` is what runs it. One that is `joined` to another shares the host's time with it.
    """

    platform: Platform
    qemu: QemuBinary
    firmware: str
    name: str = DOM0
    hostname: str = ""
    random: bool = True
    kernel: Path | None = None
    initrd: Path | None = None
    append: str = ""
    hypervisor: Path | None = None
    hypervisor_args: str = ""
    entry: Entry = "kernel"
    memory: int = 0
    cpus: int = 1
    ports: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    fds: tuple[int, ...] = ()
    may_reboot: bool = False
    alarms: tuple[AlarmRule, ...] = ()
    ram: Ram | None = None
    incoming: bool = False
    bios: Path | None = None
    screen: bool = False
    accelerator: Accelerator = "tcg"
    joined: bool = False

    @property
    def kernel_command_line(self) -> str:
        """The kernel's arguments: console 0 for its log, the second one for commands."""
        consoles = self.platform.consoles
        parts = [
            # The last one is the terminal of its programs.
            "console=tty0" if self.screen else "",
            f"console={consoles.log}",
            f"testbed.hostname={self.hostname or self.name}",
            f"testbed.command={consoles.command}" if consoles.command else "",
            self.platform.kernel_args,
            self.append,
        ]
        return " ".join(part for part in parts if part)

    def _acceleration(self) -> list[str]:
        """Return what tells QEMU how to run the CPUs; nothing where its own choice is right."""
        if self.accelerator != "tcg":
            return ["-accel", self.accelerator]
        if self.cpus > 1 and self.platform.cpu_threads == "single":
            return ["-accel", "tcg,thread=single"]
        # A thread for each CPU, also where QEMU would take one for all. (Elsewhere -icount may bind its choice.)
        return ["-accel", "tcg,thread=multi"] if len(self.platform.accelerators) > 1 else []

    def _time(self) -> list[str]:
        """Return what gives the machine a time of its own, unless that is asked for otherwise."""
        shift = self.platform.icount
        if shift is None or self.accelerator != "tcg" or self.joined or "-icount" in self.args:
            return []
        return ["-icount", f"shift={shift}"]

    def arguments(self, fds: dict[str, int]) -> list[str]:
        """Return QEMU's arguments; `fds` are the descriptors of `qmp`, `console`, `command` and of each port."""
        firmware = self.platform.options(self.firmware)
        memory = self.memory or self.platform.memory
        backend = "memory-backend=ram" if self.ram else ""
        machine = ",".join(part for part in (self.platform.machine, firmware.machine, backend) if part)
        cpu = [self.platform.cpu, self.platform.simulated_cpu if self.accelerator == "tcg" else ""]
        args = ["-name", f"testbed-{self.platform.name}", "-machine", machine, "-cpu", ",".join(filter(None, cpu))]
        args += ["-m", str(memory), "-smp", str(self.cpus)]
        args += [*self._acceleration(), *self._time()]
        if self.ram:
            args += ["-object", f"{self.ram.backend},size={memory}M"]
        args += [word for word in self.platform.args if not (self.screen and word == "-nographic")]
        args += [*(self.platform.screen if self.screen else ()), *firmware.args]
        if self.random and self.platform.random:
            args += ["-device", self.platform.random]
        if self.bios:
            args += ["-bios", str(self.bios)]
        # A power-off from inside must be seen, and its cause asked for, before QEMU goes.
        args += ["-action", f"reboot={'reset' if self.may_reboot else 'shutdown'},shutdown=pause"]
        lines = self.platform.consoles.lines
        for name, number in fds.items():
            shared = ",mux=on" if name == "console" and lines > 1 else ""
            args += ["-chardev", f"socket,id={name},fd={number}{shared}"]
        args += ["-mon", "chardev=qmp,mode=control", *(["-serial", "chardev:console"] * lines)]
        ports = [(name, name) for name in self.ports]
        if command_port := self.platform.consoles.command_port:
            ports.insert(0, (command_port, "command"))
        elif self.platform.consoles.command:
            args += ["-serial", "chardev:command"]
        device = self.platform.ports
        each = ALL_PORTS if "bus=" in device else PORTS_EACH
        for number, first in enumerate(range(0, len(ports), each)):
            # The first port of a device is kept for a console of its own.
            args += ["-device", f"{device},id=ports{number},max_ports={each + 1}"]
            for name, chardev in ports[first : first + each]:
                args += ["-device", f"virtserialport,bus=ports{number}.0,chardev={chardev},name={name}"]
        if self.kernel:
            line, own = self.kernel_command_line, self.hypervisor_args
            args += Loading(self.entry, self.kernel, line, self.initrd, self.hypervisor, own).arguments()
        return [*args, *self.args, *(["-incoming", "defer"] if self.incoming else [])]
