"""Who holds a lock: named so that a process of the same machine can tell whether the holder still lives."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_NAMESPACE = Path("/proc/self/ns/pid")
_UNKNOWN = f"elsewhere/{uuid.uuid4().hex}"


def identity() -> str:
    """This process: boot, process namespace, id and start time. Where the system does not tell (no Linux), a name of its own."""
    place, started = _place(), _started(os.getpid())
    return f"{place}/{os.getpid()}/{started}" if place and started else _UNKNOWN


def gone(holder: str) -> bool:
    """Whether `holder` is certainly no longer at work: it ran here and ended, or it is this very process from an earlier try."""
    if holder == identity():
        return True
    place, _, process = holder.partition("/")
    number, _, started = process.partition("/")
    return bool(place) and place == _place() and number.isdecimal() and _started(int(number)) != started


def _place() -> str:
    try:
        return f"{_BOOT.read_text().strip()}:{_NAMESPACE.readlink()}"
    except OSError:
        return ""


def _started(process: int) -> str:
    """The start time in clock ticks since boot; empty where there is no such process, or a zombie. Source: proc_pid_stat(5), field 22."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in {"Z", "X"} else fields[19]
