"""Waiting that a guest does itself."""

from __future__ import annotations


def until(condition: str, otherwise: str, seconds: int = 10) -> str:
    """Return the script that waits in a guest for `condition`, so long by its sleep, and fails after `otherwise`.

    It ends by itself: a loop without end would keep the command channel from all who come later.
    """
    now = "$(cut -d. -f1 /proc/uptime)"
    return (
        f"end=$(({now} + {seconds}))\n"
        f"until {condition}; do\n"
        f"    [ {now} -gt $end ] && {{ {otherwise}; exit 1; }}\n"
        f"    usleep 100000\n"
        f"done\n"
    )
