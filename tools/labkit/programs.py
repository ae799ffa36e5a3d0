"""A file system with programs of this machine and their libraries, for a guest whose initramfs would be too large with them.

The guest mounts it and changes its root to it: the paths are this machine's.
"""
import os
import shutil
import tempfile

from . import BUILD
from .debian import carrier, program
from .initramfs import BUSYBOX, shared_libraries


def copy(path, tree, name=None):
    to = os.path.join(tree, (name or path).lstrip("/"))
    os.makedirs(os.path.dirname(to), exist_ok=True)
    shutil.copy(path, to)


def disk(name, programs):
    """Write it to build/guest; programs are pairs of a program and its package."""
    os.makedirs(os.path.join(BUILD, "guest"), exist_ok=True)
    path = os.path.join(BUILD, "guest", f"{name}.ext4")
    with tempfile.TemporaryDirectory(prefix="programs-", dir=os.path.join(BUILD, "guest")) as tree:
        copy(BUSYBOX, tree, "bin/busybox")
        os.symlink("busybox", f"{tree}/bin/sh")
        for folder in ("proc", "dev", "tmp", "mnt", "sys", "etc"):
            os.makedirs(f"{tree}/{folder}")
        for word, package in programs:
            found = os.path.realpath(program(word, package))
            copy(found, tree, f"bin/{word}")
            for library in shared_libraries(found):
                copy(library, tree)
        new = f"{path}.{os.path.basename(tree)}"
        carrier(new, tree, 256 << 20)
        os.rename(new, path)
    return path
