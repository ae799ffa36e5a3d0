"""Debian's stock hyperv-daemons for a guest of a kernel, on a file system that the guest changes its root to; and its chrony.

Each kernel has its own package. There is none with a file copy daemon for 6.12, whose guests have the one of 7; and the daemons of 7 want
Debian 13's C library.
"""
import glob
import os

from . import CACHE
from .kernels import BOOKWORM, KERNELS, Apt, busybox, once, unpacked
from .programs import copy, write

NAMES = ["hv_kvp_daemon", "hv_vss_daemon", "hv_fcopy_daemon", "hv_fcopy_uio_daemon"]


def fetch(kernel, folder):
    suites, architecture, _ = KERNELS[kernel]
    libc = BOOKWORM if architecture == "i386" else ["trixie"]
    for source, packages in ((suites, ["hyperv-daemons"]), (libc, ["libc6"])):
        apt = Apt(source, architecture)
        apt.update()
        apt.unpack(packages, folder)


def get(kernel):
    return once(os.path.join(CACHE, f"daemons-{kernel}"), lambda new: fetch(kernel, new))


def fill(kernel, tree):
    architecture = KERNELS[kernel][1]
    folder = get(kernel)
    for name in ("proc", "dev", "sys", "tmp", "mnt", "etc", "var/lib/hyperv", "data"):
        os.makedirs(f"{tree}/{name}")
    copy(busybox(architecture), tree, "bin/busybox")
    os.symlink("busybox", f"{tree}/bin/sh")
    for name in NAMES:
        found = glob.glob(f"{folder}/usr/sbin/{name}")
        if name == "hv_fcopy_uio_daemon" and kernel == "6.12":
            found = [f"{get('7')}/usr/sbin/{name}"]
        for path in found:
            copy(path, tree, f"bin/{name}")
    for pattern in ("ld-linux*.so.2", "libc.so.6"):
        for path in glob.glob(f"{folder}/**/{pattern}", recursive=True):
            if not os.path.islink(path):
                loader = pattern.startswith("ld")
                at = "lib64" if loader and architecture == "amd64" else "lib"
                copy(path, tree, f"{at}/{os.path.basename(path)}")


def disk(kernel):
    return write(f"daemons-{kernel}", lambda tree: fill(kernel, tree))


def chrony():
    """The path of Debian 12's chronyd. It is unpacked, never installed: a host has one program that sets its clock."""
    return os.path.join(unpacked("chrony", ["chrony"]), "usr/sbin/chronyd")
