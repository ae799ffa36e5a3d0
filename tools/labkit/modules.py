"""Kernel modules for an initramfs: which files a driver needs, in the order in which they load."""
import gzip
import lzma
import os
import re
import subprocess

from . import LabError


def plain(path):
    """The bytes of a module, unpacked: busybox's insmod knows no compression."""
    with open(path, "rb") as file:
        data = file.read()
    if path.endswith(".xz"):
        return lzma.decompress(data)
    if path.endswith(".gz"):
        return gzip.decompress(data)
    if path.endswith(".zst"):
        return subprocess.run(["zstd", "-dc"], input=data, capture_output=True, check=True).stdout
    return data


def needs(data):
    """The names in a module's own list of what it depends on."""
    match = re.search(rb"\0depends=([^\0]*)\0", data)
    return [name for name in (match[1].decode() if match else "").split(",") if name]


class Modules:
    """The modules of one kernel. A driver that is built in, or that this flavour lacks, has no file."""

    def __init__(self, folder):
        self.files = {}
        self.data = {}
        for root, _, names in os.walk(folder or "/nonexistent"):
            for name in names:
                match = re.match(r"(.+)\.ko(\.\w+)?$", name)
                if match:
                    self.files[match[1].replace("-", "_")] = os.path.join(root, name)

    def load(self, name):
        if name not in self.data:
            self.data[name] = plain(self.files[name])
        return self.data[name]

    def closure(self, names):
        """The modules that are there, each after those that it needs: [(name, bytes)]."""
        order = []

        def visit(name):
            name = name.replace("-", "_")
            if name in self.files and name not in order:
                for other in needs(self.load(name)):
                    visit(other)
                order.append(name)

        for name in names:
            visit(name)
        return [(name, self.load(name)) for name in order]


def version_of(data):
    match = re.search(rb"\0vermagic=(\S+)", data)
    if not match:
        raise LabError("not a kernel module (it has no vermagic)")
    return match[1].decode()
