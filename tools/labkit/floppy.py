"""A floppy disk that a BIOS starts, with SYSLINUX and one kernel of the real-mode kind on it."""
import os
import subprocess

from . import BUILD, LabError
from .debian import program

KIB = 1440


def make(name, kernel, words):
    """Write the disk to build/guest: the kernel gets the words as its command line."""
    path = os.path.join(BUILD, "guest", f"{name}.img")
    new = f"{path}.{os.getpid()}"
    config = f"DEFAULT kernel\nLABEL kernel\nLINUX kernel\nAPPEND {words}\n"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(new, "wb") as file:
        file.truncate(KIB << 10)
    for command, text in (([program("mformat", "mtools"), "-i", new, "-f", str(KIB), "::"], None),
                          ([program("mcopy", "mtools"), "-i", new, kernel, "::/kernel"], None),
                          ([program("mcopy", "mtools"), "-i", new, "-", "::/syslinux.cfg"], config),
                          ([program("syslinux", "syslinux"), "-i", new], None)):
        done = subprocess.run(command, input=text, capture_output=True, text=True)
        if done.returncode:
            raise LabError(f"{command[0]} failed: {done.stderr.strip()}")
    os.rename(new, path)
    return path
