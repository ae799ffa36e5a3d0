"""A file system with programs of this machine and their libraries, for a guest whose initramfs would be too large with them.

The guest mounts it and changes its root to it: the paths are this machine's.
"""
import os
import re
import shutil
import subprocess
import tempfile

from . import BUILD
from .debian import carrier, program
from .emulator import PROGRAM, vmm
from .initramfs import BUSYBOX, shared_libraries


def copy(path, tree, name=None):
    to = os.path.join(tree, (name or path).lstrip("/"))
    os.makedirs(os.path.dirname(to), exist_ok=True)
    shutil.copy(path, to)


def add(tree, path, name):
    """A program, with its libraries."""
    copy(path, tree, f"bin/{name}")
    for library in shared_libraries(path):
        copy(library, tree)


def write(name, fill):
    """Write a file system to build/guest; fill() gets the folder that it is made of."""
    os.makedirs(os.path.join(BUILD, "guest"), exist_ok=True)
    path = os.path.join(BUILD, "guest", f"{name}.ext4")
    with tempfile.TemporaryDirectory(prefix="programs-", dir=os.path.join(BUILD, "guest")) as tree:
        fill(tree)
        new = f"{path}.{os.path.basename(tree)}"
        carrier(new, tree, 256 << 20)
        os.rename(new, path)
    return path


def disk(name, programs, more=lambda tree: None):
    """programs are pairs of a program and its package; more() gets the folder with them."""
    def fill(tree):
        copy(BUSYBOX, tree, "bin/busybox")
        os.symlink("busybox", f"{tree}/bin/sh")
        for folder in ("proc", "dev", "tmp", "mnt", "sys", "etc", "run"):
            os.makedirs(f"{tree}/{folder}")
        for word, package in programs:
            add(tree, os.path.realpath(program(word, package)), word)
        more(tree)
    return write(name, fill)


# Of the VMM's own files: its BIOSes, and what starts a kernel that was given by name.
FIRMWARE = ["seabios/bios-256k.bin", "seabios/bios-microvm.bin", "qemu/linuxboot_dma.bin", "qemu/kvmvapic.bin"]
VMM = "/vmm/ld --library-path /vmm/lib /vmm/vmm -L /vmm/share"


def vmm_disk(files):
    """Debian's QEMU 11 as it is, for the root to mount at /vmm, where it is started by the words of VMM; and the files, pairs
    of a path here and a name there. The C library's loader, and the libraries, are those of its own suite."""
    def fill(tree):
        folder = vmm()
        libraries, loader = f"{folder}/usr/lib/x86_64-linux-gnu", f"{folder}/usr/lib64/ld-linux-x86-64.so.2"
        listing = subprocess.run([loader, "--library-path", libraries, "--list", f"{folder}/usr/bin/{PROGRAM}"],
                                 capture_output=True, text=True, check=True).stdout
        for library in set(re.findall(r"=> (\S+) \(0x", listing)):
            copy(library, tree, f"lib/{os.path.basename(library)}")
        copy(loader, tree, "ld")
        copy(f"{folder}/usr/bin/{PROGRAM}", tree, "vmm")
        for name in FIRMWARE:
            copy(f"{folder}/usr/share/{name}", tree, f"share/{os.path.basename(name)}")
        for path, name in files:
            copy(path, tree, name)
    return write("vmm", fill)
