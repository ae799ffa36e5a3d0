"""Debian's stock DPDK for a guest: testpmd, with the driver of netvsc and nothing that it does not need.

Of the packages, which are unpacked and never installed, only what testpmd loads is kept: one folder with all its files.
"""
import glob
import os
import re
import shutil
import subprocess

from . import CACHE, LabError
from .kernels import Apt, once, say

SUITES = ["bookworm"]
PACKAGES = ["dpdk-dev", "librte-bus-vmbus23", "librte-mempool-ring23", "librte-net-netvsc23"]
PLUGINS = ["bus_pci", "bus_vmbus", "mempool_ring", "net_netvsc"]


def libraries(folder, path):
    """What a file of the unpacked packages needs, from there."""
    places = glob.glob(f"{folder}/lib/x86_64-linux-gnu") + glob.glob(f"{folder}/usr/lib/x86_64-linux-gnu")
    places += glob.glob(f"{folder}/usr/lib/x86_64-linux-gnu/dpdk/*")
    listing = subprocess.run(["ldd", path], capture_output=True, text=True, env={"LD_LIBRARY_PATH": ":".join(places)}).stdout
    missing = re.findall(r"(\S+) => not found", listing)
    if missing:
        raise LabError(f"{path} needs {missing[0]}, which is in none of DPDK's packages")
    return re.findall(rf"=> ({re.escape(folder)}/\S+) \(0x", listing)


def fetch(folder):
    say(f"fetching DPDK ({SUITES[0]})")
    apt = Apt(SUITES, "amd64")
    apt.update()
    plan = apt.call("apt-get", "install", "--print-uris", "--no-install-recommends", "-y", *PACKAGES)
    names = re.findall(r"^'\S+' ([^_ ]+)_", plan, re.M)
    everything = f"{folder}/all"
    apt.unpack([name for name in names if name in ["dpdk-dev", "zlib1g", "ibverbs-providers"] or
                (name.startswith("lib") and not name.endswith("-dev"))], everything)
    program = f"{everything}/usr/bin/dpdk-testpmd"
    plugins = [min(glob.glob(f"{everything}/usr/lib/x86_64-linux-gnu/dpdk/*/librte_{name}.so.*"), key=len) for name in PLUGINS]
    for path in [program, *plugins]:
        for file in [path, *libraries(everything, path)]:
            shutil.copy(file, folder)
    shutil.copy(glob.glob(f"{everything}/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2")[0], folder)
    shutil.rmtree(everything)


# testpmd with words of its own behind it, in a guest that has files().
TESTPMD = "/dpdk/ld-linux-x86-64.so.2 --library-path /dpdk /dpdk/dpdk-testpmd " + " ".join(f"-d /dpdk/librte_{name}.so.23" for name in PLUGINS)


def files():
    """For a guest's initramfs: what is to be where."""
    folder = once(os.path.join(CACHE, "dpdk"), fetch)
    result = {}
    for name in os.listdir(folder):
        with open(os.path.join(folder, name), "rb") as file:
            result[f"dpdk/{name}"] = file.read()
    return result
