"""The emulators: which QEMU is the machine, and Bochs, which has VMX. What is fetched is not installed.

QEMU is Debian 12's backport of 10.0, or the one on this machine.

Debian 12's own, 7.2, loses track of the flags register under kernels after 6.1 (docs/emulators.md); it remains as
`--emulator qemu`. The backport runs from where it was unpacked, on the libraries of the installed one.
"""
import hashlib
import os
import re
import shutil

from . import CACHE, LabError
from .kernels import Apt, once, say
from .mend import mend
from .mend_bochs import mend_bochs

NAMES = ("qemu-10", "qemu", "bochs")
PROGRAM = "qemu-system-x86_64"


def mended(name, sources):
    """The folder in the cache for a program with the repairs that these files of labkit make: with others it is another."""
    digest = hashlib.sha256()
    for source in sources:
        with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), source), "rb") as file:
            digest.update(file.read())
    return os.path.join(CACHE, f"{name}-{digest.hexdigest()[:12]}")


def fetch(folder):
    say("fetching QEMU 10.0 (bookworm-backports)")
    apt = Apt(["bookworm-backports"], "amd64")
    apt.update()
    apt.unpack(["qemu-system-x86", "qemu-system-common", "qemu-system-data", "seabios"], folder)
    mend(f"{folder}/usr/bin/{PROGRAM}")


def command(name):
    """The first words of the machine's command line."""
    if not shutil.which(PROGRAM):
        raise LabError(f"no {PROGRAM}: install qemu-system-x86, or run tools/setup")
    if name == "qemu":
        return [PROGRAM]
    folder = once(mended("qemu-10", ["mend.py"]), fetch)
    return [f"{folder}/usr/bin/{PROGRAM}", "-L", f"{folder}/usr/share/qemu", "-L", f"{folder}/usr/share/seabios"]


def fetch_bochs(folder):
    """Bochs with the C library and all other libraries that it wants, which are its suite's; of what it merely depends on, nothing."""
    say("fetching Bochs 3.0 (trixie)")
    apt = Apt(["trixie"], "amd64")
    apt.update()
    plan = apt.call("apt-get", "install", "--print-uris", "--no-install-recommends", "-y", "bochs", "bochs-term", "vgabios")
    names = re.findall(r"^'\S+' ([^_ ]+)_", plan, re.M)
    wanted = [name for name in names if re.match("bochs|vgabios|lib|zlib1g", name) and not re.search("-(common|data)$", name)]
    apt.unpack(wanted, folder)
    mend_bochs(f"{folder}/usr/bin/bochs-bin")


def fetch_vmm(folder):
    """QEMU 11, the first with -accel mshv, and of its suite all the libraries that its dependencies name."""
    say("fetching QEMU 11 (trixie-backports)")
    backports, trixie = Apt(["trixie-backports"], "amd64"), Apt(["trixie"], "amd64")
    backports.update()
    trixie.update()
    backports.unpack(["qemu-system-x86", "qemu-system-common", "qemu-system-data"], folder)
    plan = trixie.call("apt-get", "install", "--print-uris", "--no-install-recommends", "-y", "qemu-system-x86")
    names = re.findall(r"^'\S+' ([^_ ]+)_", plan, re.M)
    wanted = [name for name in names if re.match("lib|zlib1g|seabios|ipxe-qemu", name) and not re.search("-(common|data|bin|modules)$", name)]
    trixie.unpack(wanted, folder)


def vmm():
    """The folder where Debian's QEMU 11 is unpacked, unmodified: a VMM that is a client of /dev/mshv. Not one of the lab's machines."""
    return once(os.path.join(CACHE, "vmm"), fetch_vmm)


def bochs():
    """The folder where Bochs is unpacked. Its programs are started through the C library's loader there."""
    return once(mended("bochs", ["mend.py", "mend_bochs.py"]), fetch_bochs)
