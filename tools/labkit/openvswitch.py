"""Debian's Open vSwitch, with its libraries, from where the packages are unpacked: installed it would run as a service of this machine."""
import glob
import os
import re
import subprocess
import tarfile

from . import BUILD, CACHE
from .kernels import Apt, once, say

FOLDER = os.path.join(CACHE, "openvswitch")


def fetch(folder):
    say("fetching Open vSwitch (bookworm)")
    apt = Apt(["bookworm"], "amd64")
    apt.update()
    plan = apt.call("apt-get", "install", "--print-uris", "--no-install-recommends", "-y", "openvswitch-switch")
    names = re.findall(r"^'\S+' ([^_ ]+)_", plan, re.M)
    apt.unpack([name for name in names if re.match("openvswitch|lib(xdp|bpf|unbound|numa|cap-ng|elf|event|nghttp)", name)], folder)


def get():
    return once(FOLDER, fetch)


# In the root, once dpctl() is unpacked there: what speaks to the kernel's datapath.
DPCTL = "/ovs/ld --library-path /ovs /ovs/ovs-dpctl"


def dpctl():
    """An archive for the root's /, with ovs-dpctl and its libraries."""
    folder = get()
    program = f"{folder}/usr/bin/ovs-dpctl"
    listing = subprocess.run(["ldd", program], capture_output=True, text=True, check=True,
                             env={"LD_LIBRARY_PATH": f"{folder}/usr/lib/x86_64-linux-gnu:{folder}/lib/x86_64-linux-gnu"}).stdout
    os.makedirs(os.path.join(BUILD, "guest"), exist_ok=True)
    path = os.path.join(BUILD, "guest", "ovs-dpctl.tar")
    with tarfile.open(path, "w", dereference=True) as archive:
        archive.add(program, "ovs/ovs-dpctl")
        archive.add(glob.glob("/lib64/ld-linux-x86-64.so.2")[0], "ovs/ld")
        for library in sorted(set(re.findall(r"=> (/\S+) \(0x", listing))):
            archive.add(library, f"ovs/{os.path.basename(library)}")
    return path
