"""Verbs of virtual networks: a bridge in dom0, domUs' cards on it, and what must come through."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field

from harness.cell import Cell
from harness.host import BRIDGE
from harness.steps.answering import DomainParams
from harness.steps.clock import until
from harness.verbs import Seconds, StepFailed, StepParams, verb
from sim.platform import DOM0

# The simulated network: dom0s have 10.0.0.1 and .2, domUs 10.0.0.11 and on.
NET = "10.0.0"
FIRST_DOMU = 11
# QEMU's own prefix of network addresses.
NET_MAC = "52:54:00:00:00"
PORT = 5001
# Seconds between two pings.
PING_EVERY = 0.2
# A domU that is told of a card has it at once; so long (s) it may take on a busy host.
CARD_WITHIN = 5
_PING = re.compile(r"(\d+) packets transmitted, (\d+) packets received")


class BridgeParams(StepParams):
    """Parameters of `bridge`: the dom0 that gets it."""

    host: str = DOM0


class ReachParams(DomainParams):
    """Parameters of `reaches`: whom a domain pings, and whether it must be answered."""

    peer: str
    count: Annotated[int, Field(gt=0)] = 3
    answered: bool = True


class TransferParams(DomainParams):
    """Parameters of `sends`: to whom, how many MiB."""

    to: str
    size: Annotated[int, Field(gt=0)] = 2
    within: Seconds = 60.0


class MacParams(DomainParams):
    """Parameters of `mac-is`: the card's address as the domU must see it."""

    mac: str


class PlugParams(MacParams):
    """Parameters of `network-attach` and `network-detach`."""

    within: Seconds = 60.0


class LinkParams(DomainParams):
    """Parameters of `link`: whether the cable is in."""

    state: Literal["up", "down"]


def address_of(cell: Cell, domain: str) -> str:
    """Return the IPv4 address of a domain on the simulated network."""
    hosts, domus = cell.spec.scenario.hosts, cell.spec.scenario.domus
    number = hosts.index(domain) + 1 if domain in hosts else FIRST_DOMU + domus.index(domain)
    return f"{NET}.{number}"


def mac_of(cell: Cell, domain: str) -> str:
    """Return the address that a domU's card has unless the scenario names one."""
    return f"{NET_MAC}:{FIRST_DOMU + cell.spec.scenario.domus.index(domain):02x}"


@verb("bridge", shorthand="host")
async def bridge(cell: Cell, params: BridgeParams) -> str:
    """Make dom0's bridge, with dom0's own address on it; a cable to another machine becomes a part of it."""
    number = cell.spec.scenario.hosts.index(params.host) + 1
    script = f"""
        set -e
        brctl addbr {BRIDGE}
        # Unless it is given one, a bridge takes the lowest address of its ports: a domU that comes may change it,
        # and who knew the old one is lost until its ARP entry expires.
        ip link set {BRIDGE} address {NET_MAC}:{number:02x}
        for card in /sys/class/net/*/device; do
            [ -e "$card" ] || continue
            card=${{card%/device}}; card=${{card##*/}}
            ip link set $card up
            brctl addif {BRIDGE} $card
        done
        ip addr add {address_of(cell, params.host)}/24 dev {BRIDGE}
        ip link set {BRIDGE} up
        ls /sys/class/net/{BRIDGE}/brif
    """
    return await cell.must(params.host, script, params.within) or "no cards yet"


@verb("network-up", shorthand="domain")
async def network_up(cell: Cell, params: DomainParams) -> str:
    """Give a domU's network card its address."""
    address = address_of(cell, params.domain)
    script = f"set -e; ip addr add {address}/24 dev eth0; ip link set eth0 up"
    await cell.must(params.domain, script, params.within)
    return address


@verb("mac-is")
async def mac_is(cell: Cell, params: MacParams) -> None:
    """Compare the address of a domU's network card, as the domU sees it, with what was asked for."""
    found = await cell.must(params.domain, "cat /sys/class/net/eth0/address", params.within)
    if found != params.mac:
        raise StepFailed(f"{params.domain}'s card has the address {found}, not {params.mac}")


@verb("reaches")
async def reaches(cell: Cell, params: ReachParams) -> str:
    """Ping one domain from another: each packet must be answered, or, with `answered: false`, none."""
    address = address_of(cell, params.peer)
    answer = await cell.run(params.domain, f"ping -c {params.count} -i {PING_EVERY} -W 2 {address}", params.within)
    found = _PING.search(answer.output)
    if found is None:
        raise StepFailed(f"{params.domain} cannot ping: {answer.output.strip()}")
    sent, received = int(found[1]), int(found[2])
    if received != (sent if params.answered else 0):
        raise StepFailed(f"{params.peer} answered {received} of {sent} packets of {params.domain}'s")
    return f"{received} of {sent} packets answered"


@verb("sends")
async def sends(cell: Cell, params: TransferParams) -> str:
    """Send random bytes from one domain to another over TCP; the checksums of both ends must agree."""
    source, target = params.domain, params.to
    address = address_of(cell, target)
    got, done = f"/run/from-{source}", f"/run/from-{source}.done"
    listen = (
        # A program at the other end, because some nc leave when their own input ends.
        f"rm -f {done}; nc -l -p {PORT} -e sh -c 'cat >{got}; touch {done}' </dev/null >/dev/null 2>&1 & "
        # Listening is seen in the kernel's tables (one for IPv6, whose sockets take both): 0A is TCP_LISTEN.
        f"until cat /proc/net/tcp* | grep -q ':{PORT:04X} 0*:0000 0A'; do usleep 20000; done"
    )
    await cell.must(target, listen, params.within)
    # In a file first: the checksum is of what was sent, not of what was meant to be.
    send = (
        f"set -e; dd if=/dev/urandom of=/run/sent bs=65536 count={params.size * 16} 2>/dev/null; "
        f"nc {address} {PORT} </run/sent; md5sum </run/sent; rm /run/sent"
    )
    sent = await cell.must(source, send, params.within)
    receive = f"until [ -e {done} ]; do usleep 20000; done; stat -c %s {got}; md5sum <{got}; rm {got} {done}"
    size, received = (await cell.must(target, receive, params.within)).splitlines()
    if sent != received or int(size) != params.size << 20:
        raise StepFailed(f"{source} sent {params.size << 20} bytes ({sent}), {target} received {size} ({received})")
    return f"{size} bytes, {sent.split()[0]}"


@verb("link")
async def link(cell: Cell, params: LinkParams) -> None:
    """Pull out a domU's network cable, or plug it in; what comes through tells (`reaches`)."""
    domain, up = cell.domain(params.domain), params.state == "up"
    what = f"{params.domain}'s link goes {params.state}"
    await cell.control(params.domain, what, cell.toolstack.set_link(domain, up=up), params.within)


@verb("network-attach")
async def network_attach(cell: Cell, params: PlugParams) -> str:
    """Plug a network card into a running domU through the toolstack; the domU must find it, and reach dom0 by it."""
    name = params.domain
    work = cell.toolstack.attach_nic(cell.domain(name), params.mac)
    await cell.control(name, f"a network card is plugged into {name}", work, params.within)
    files = "/sys/class/net/*/address"
    wait = until(f"grep -q {params.mac} {files}", f"echo no card {params.mac} among: $(grep . {files})", CARD_WITHIN)
    script = f"""
        {wait}
        card=$(grep -l {params.mac} {files}); card=${{card%/address}}; card=${{card##*/}}
        ip addr add {address_of(cell, name)}/24 dev $card && ip link set $card up && echo $card &&
            ping -c 3 -i {PING_EVERY} -W 2 {address_of(cell, cell.domain(name).host.name)}
    """
    return await cell.must(name, script, params.within)


@verb("network-detach")
async def network_detach(cell: Cell, params: PlugParams) -> None:
    """Take a network card out of a running domU through the toolstack; the domU must have let go of it."""
    name = params.domain
    work = cell.toolstack.detach_nic(cell.domain(name), params.mac)
    await cell.control(name, f"a network card is taken out of {name}", work, params.within)
    files = "/sys/class/net/*/address"
    await cell.must(
        name, until(f"! grep -q {params.mac} {files}", f"echo still there: $(grep . {files})"), params.within
    )
