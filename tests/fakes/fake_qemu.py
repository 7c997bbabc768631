"""Stands in for QEMU in tests of the harness: speaks QMP, and has faults that the real one has not on demand.

usage: fake_qemu.py BEHAVIOUR QEMU-ARGUMENT...
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

GREETING = {"QMP": {"version": {"qemu": {"major": 10, "minor": 0, "micro": 13}, "package": "fake"}, "capabilities": []}}


# What QEMU's monitor tells of a CPU that was put to sleep as an interrupt was delivered to it.
LOST = (
    "\r\nCPU#0\r\nNIP 0000000000000900   LR c000000000078414\r\nMSR 8000000000000000 HID0 0000000060000000\r\n"
    " SRR0 c0000000000764c0  SRR1 800000000200a032\r\n"
)


# Hypervisors without a dom0: what they say, and how they end.
STOPS = {
    "hello": (b"Hello, ppc64le!\r\n", "guest-shutdown"),
    "hello-reset": (b"Hello, ppc64le!\r\n", "guest-reset"),
    "power-off": (b"nothing to say\r\n", "guest-shutdown"),
}
# Set when the harness has asked for the CPUs: the last thing before it waits.
GREETED = threading.Event()


def descriptors(args: list[str]) -> dict[str, int]:
    found = (re.fullmatch(r"socket,id=([^,]+),fd=(\d+)", arg) for arg in args)
    return {match[1]: int(match[2]) for match in found if match}


# What its memory holds where somebody looks: the ELF note of a GNU build id.
NOTE = struct.pack("<III", 4, 4, 3) + b"GNU\0" + bytes.fromhex("c0ffee42")


# A CPU that sleeps.
VCPU = threading.Thread(target=threading.Event().wait, daemon=True)


def answer(line: dict[str, object], behaviour: str) -> dict[str, object]:
    returns: dict[str, object] = {
        "query-cpus-fast": [{"thread-id": VCPU.native_id, "cpu-index": 0}],
        "human-monitor-command": told(line, behaviour),
        "query-status": {"status": "running", "running": True},
    }
    name = str(line["execute"])
    if name == "pmemsave":
        arguments = line["arguments"]
        assert isinstance(arguments, dict)
        Path(arguments["filename"]).write_bytes(NOTE[: arguments["size"]])
    if name == "fail":
        return {"error": {"class": "GenericError", "desc": "as asked"}}
    if name == "screendump":
        return {"error": {"class": "GenericError", "desc": "There is no console to take a screendump from"}}
    return {"return": returns.get(name, {})}


def told(line: dict[str, object], behaviour: str) -> str:
    """Return what the monitor for people says of the registers."""
    if behaviour != "lost":
        return "fake registers\r\n"
    return "0x900\r\n" if "p/x $pc" in str(line) else LOST


def requests(end: socket.socket) -> Iterator[dict[str, object]]:
    """Yield the requests: JSON values that follow each other, with or without a line's end between them."""
    pending = ""
    while data := end.recv(65536):
        pending += data.decode()
        while pending := pending.lstrip():
            try:
                request, used = json.JSONDecoder().raw_decode(pending)
            except ValueError:
                break
            pending = pending[used:]
            yield request


def serve_qmp(end: socket.socket, behaviour: str) -> None:
    def say(value: object) -> None:
        end.sendall(json.dumps(value).encode() + b"\r\n")

    say(GREETING)
    for request in requests(end):
        if behaviour == "deaf" and request["execute"] not in {"qmp_capabilities", "query-cpus-fast"}:
            continue
        say({**answer(request, behaviour), **({"id": request["id"]} if "id" in request else {})})
        if request["execute"] == "query-cpus-fast":
            GREETED.set()
        if request["execute"] == "event":
            say({"event": "RESET", "data": {}, "timestamp": {"seconds": 0, "microseconds": 0}})


def stop(qmp: socket.socket, reason: str) -> None:
    """Tell that the machine was switched off, or reset, from inside."""
    event = {
        "event": "SHUTDOWN",
        "data": {"guest": True, "reason": reason},
        "timestamp": {"seconds": 0, "microseconds": 0},
    }
    qmp.sendall(json.dumps(event).encode() + b"\r\n")


def boot(console: socket.socket, behaviour: str) -> None:
    """Print what comes before the command channel is open, if ever it is."""
    if behaviour == "panic":
        console.sendall(b"[    1.000000] Kernel panic - not syn")
        time.sleep(0.05)
        console.sendall(b"cing: as asked\r\n[    1.1] Call Trace:\r\n[    1.2] .fake+0x1\r\n")
    while behaviour == "babble":
        console.sendall(b"[    2.000000] a line that leads nowhere\r\n")
        time.sleep(0.02)


def main() -> None:
    behaviour, args = sys.argv[1], sys.argv[2:]
    VCPU.start()
    if behaviour == "refuse":
        sys.exit("fake: -machine: unsupported machine type")
    if behaviour == "ignore-sigterm":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    fds = descriptors(args)
    ends = {name: socket.socket(fileno=fd) for name, fd in fds.items()}
    if behaviour == "mute":
        time.sleep(600)
    console = ends["console"]
    threading.Thread(target=serve_qmp, args=(ends["qmp"], behaviour), daemon=True).start()
    console.sendall(b"[    0.000000] Linux version fake\r\n")
    boot(console, behaviour)
    if behaviour in STOPS:
        # Not before there is somebody to hear it.
        GREETED.wait()
        said, reason = STOPS[behaviour]
        console.sendall(said)
        stop(ends["qmp"], reason)
        time.sleep(600)
    if behaviour != "no-channel":
        ends["command"].sendall(b"testbed: channel open\n")
    shell = subprocess.Popen(["sh"], stdin=fds["command"], stdout=fds["command"], stderr=fds["command"])
    if behaviour == "flood":
        block = b"".join(b"[    2.%06d] flood of lines on the console\r\n" % number for number in range(20000))
        for _ in range(10):
            console.sendall(block)
        console.sendall(b"flood is over\r\n")
    if behaviour == "echo-console":
        while data := console.recv(4096):
            console.sendall(b"got: " + data)
    if behaviour == "abort":
        time.sleep(0.3)
        os.abort()
    if behaviour == "spin":
        while True:
            pass
    shell.wait()
    time.sleep(600)


main()
