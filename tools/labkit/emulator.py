"""Which QEMU is the machine: Debian 12's backport of 10.0, fetched and not installed, or the one on this machine.

Debian 12's own, 7.2, loses track of the flags register under kernels after 6.1 (docs/emulators.md); it remains as
`--emulator qemu`. The backport runs from where it was unpacked, on the libraries of the installed one.
"""
import os
import shutil

from . import CACHE, LabError
from .kernels import Apt, once, say

NAMES = ("qemu-10", "qemu")
PROGRAM = "qemu-system-x86_64"


def fetch(folder):
    say("fetching QEMU 10.0 (bookworm-backports)")
    apt = Apt(["bookworm-backports"], "amd64")
    apt.update()
    apt.unpack(["qemu-system-x86", "qemu-system-common", "qemu-system-data", "seabios"], folder)


def command(name):
    """The first words of the machine's command line."""
    if not shutil.which(PROGRAM):
        raise LabError(f"no {PROGRAM}: install qemu-system-x86, or run tools/setup")
    if name == "qemu":
        return [PROGRAM]
    folder = once(os.path.join(CACHE, "qemu-10"), fetch)
    return [f"{folder}/usr/bin/{PROGRAM}", "-L", f"{folder}/usr/share/qemu", "-L", f"{folder}/usr/share/seabios"]
