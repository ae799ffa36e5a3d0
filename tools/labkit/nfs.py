"""A folder that two roots share: one has it and serves it by the kernel's NFS 4 server, the other mounts it. Nothing of nfs-utils is needed: the server is told its
one client and its one export where its helpers would tell it.
"""
import os

from .modules import Modules


def puts(kernel, folder):
    """The modules of both sides, in the order in which they are loaded; `folder` is for them on this host."""
    names = []
    for name, data in Modules(kernel.modules).closure(["nfsd", "nfsv4"]):
        with open(os.path.join(folder, f"{name}.ko"), "wb") as file:
            file.write(data)
        names.append(name)
    with open(os.path.join(folder, "order"), "w", encoding="ascii") as file:
        file.write("".join(f"{name}\n" for name in names))
    return [(folder, "/lab/nfs")]


LOAD = "while read -r name; do insmod /lab/nfs/$name.ko || exit 1; done </lab/nfs/order\n"

# The flags of an export: it is the file system 0, its root is the client's root, any of the client's ports will do.
FLAGS = 0x2000 | 0x400 | 0x2
FOREVER = 2147483647


def serve(path, client):
    """Shell: this root has the folder. In memory, and so without a past: no grace period is waited for."""
    return LOAD + f"""
    mkdir -p {path} /var/lib/nfs/v4recovery
    mount -t tmpfs shared {path} && mount -t nfsd nfsd /proc/fs/nfsd || exit 1
    echo 10 >/proc/fs/nfsd/nfsv4leasetime; echo 10 >/proc/fs/nfsd/nfsv4gracetime
    echo "-2 -3 +4 +4.1 +4.2" >/proc/fs/nfsd/versions
    echo "nfsd {client} {FOREVER} lab" >/proc/net/rpc/auth.unix.ip/channel
    echo "lab {path} {FOREVER} {FLAGS} 65534 65534 0" >/proc/net/rpc/nfsd.export/channel
    echo 'lab 1 \\x00000000 {FOREVER} {path}' >/proc/net/rpc/nfsd.fh/channel
    echo 4 >/proc/fs/nfsd/threads && echo Y >/proc/fs/nfsd/v4_end_grace || exit 1
"""


def mount(path, server, own):
    """Shell: this root has it from the other one."""
    return LOAD + f"""
    mkdir -p {path}
    until mount -t nfs4 -o vers=4.2,addr={server},clientaddr={own} {server}:/ {path} 2>/dev/null; do usleep 300000; done
"""
