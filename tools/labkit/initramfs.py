"""The file systems that boot: the root's, which runs one command for tools/lab, and the tiny guest's.

Both are Debian's static busybox and a script. The root's is in two archives, one after the other: what depends on the
kernel alone and is kept in build/cache, and what depends on the run.
"""
import functools
import hashlib
import os
import re
import shlex
import subprocess
import threading

from . import BUILD, CACHE, TOP, LabError
from .cpio import Archive
from .modules import Modules, needs

# Loaded at once: what carries the command's output. Then those that `modprobe` finds when a test wants them.
CHANNEL = ["virtio_pci", "virtio_console"]
AT_HAND = ["virtio_blk", "virtio_net", "nvme", "ahci", "sd_mod", "e1000e", "igb", "kvm_amd", "kvm_intel", "msr", "cpuid",
           "virtio_rng", "vfio_pci", "vfio_iommu_type1", "ext4", "tun", "brd", "nbd", "veth", "bridge", "openvswitch", "vhost_net", "vhost_vsock"]
BUSYBOX = "/bin/busybox"


def base(archive, busybox=BUSYBOX):
    if not os.path.exists(busybox):
        raise LabError(f"no {busybox}: install busybox-static, or run tools/setup")
    for name in ("proc", "sys", "dev", "tmp", "run", "root", "sbin", "usr/bin", "usr/sbin", "mnt", "etc"):
        archive.folder(name)
    archive.host_file("bin/busybox", busybox)
    archive.link("bin/sh", "busybox")
    archive.character("dev/console", 5, 1)
    archive.character("dev/null", 1, 3)
    archive.file("etc/passwd", b"root::0:0:root:/root:/bin/sh\n")
    archive.file("etc/group", b"root:x:0:\n")


def script(name):
    with open(os.path.join(TOP, "tools", "labkit", name), "rb") as file:
        return file.read()


def root_base(kernel):
    """The part of the root's initramfs that only the kernel decides; made once for each kernel."""
    inputs = script("root-init") + script("../labkit/initramfs.py") + os.fsencode(os.path.realpath(kernel.image))
    inputs += str(os.stat(BUSYBOX).st_mtime_ns if os.path.exists(BUSYBOX) else 0).encode()
    path = os.path.join(CACHE, "initramfs", f"{kernel.version}-{hashlib.sha256(inputs).hexdigest()[:12]}.cpio")
    if os.path.exists(path):
        return path
    archive = Archive()
    base(archive)
    archive.file("init", script("root-init"), 0o755)
    modules = Modules(kernel.modules)
    order = [name for name, _ in modules.closure(CHANNEL)]
    archive.file("lab/modules", "".join(f"{name}\n" for name in order).encode())
    folder = f"lib/modules/{kernel.version}"
    archive.folder(folder)
    lines = []
    for name, data in modules.closure(CHANNEL + AT_HAND):
        archive.file(f"{folder}/{name}.ko", data)
        chain = [other for other, _ in modules.closure([name])][-2::-1]
        lines.append(f"{name}.ko:" + "".join(f" {other}.ko" for other in chain))
    archive.file(f"{folder}/modules.dep", ("\n".join(lines) + "\n").encode())
    os.makedirs(os.path.dirname(path), exist_ok=True)
    new = f"{path}.{os.getpid()}.{threading.get_ident()}"
    with open(new, "wb") as file:
        file.write(archive.bytes())
    os.rename(new, path)
    return path


@functools.lru_cache(maxsize=None)
def listed_libraries(path, changed):
    """What ldd, which starts a shell, says of the file that has been so since `changed`: a run of many machines asks each time."""
    listing = subprocess.run(["ldd", path], capture_output=True, text=True).stdout
    missing = re.findall(r"(\S+) => not found", listing)
    if missing:
        raise LabError(f"{path} needs {missing[0]}, which is not on this machine")
    return sorted(set(re.findall(r"(/\S+) \(0x", listing)))


def shared_libraries(path):
    """The libraries that a dynamically linked program needs, by their paths here, which are those in the root."""
    with open(path, "rb") as file:
        head = file.read(0x4000)
        if head[:4] != b"\x7fELF" or b"/ld-linux" not in head:
            return []
        return listed_libraries(path, os.fstat(file.fileno()).st_mtime_ns)


def put(archive, host, root):
    """Carry in a file or folder; the shared libraries of a program go with it."""
    if not os.path.exists(host):
        raise LabError(f"--put {host}: no such file")
    archive.host_file(root, host)
    if os.path.isfile(host):
        for library in shared_libraries(host):
            archive.host_file(library, library)


def root_run(kernel, command, puts, gets, token, bare, tty, serial=False):
    """The part of the root's initramfs that belongs to one run."""
    archive = Archive()
    for host, root in puts:
        put(archive, host, root)
    folder = os.path.join(BUILD, "root", kernel.version)
    ours = sorted(name for name in os.listdir(folder) if name.endswith(".ko")) if os.path.isdir(folder) else []
    order = []
    if not bare:
        worker = os.path.join(BUILD, "worker", "vmwp")
        if os.path.exists(worker):
            put(archive, worker, "usr/bin/vmwp")
        for name in ours:
            with open(os.path.join(folder, name), "rb") as file:
                data = file.read()
            for other, bytes_ in Modules(kernel.modules).closure(needs(data)):
                archive.file(f"lab/{other}.ko", bytes_)
                order.append(f"{other}.ko")
            archive.file(f"lab/{name}", data)
            order.append(name)
    archive.file("lab/ours", "".join(f"{name}\n" for name in dict.fromkeys(order)).encode())
    archive.file("lab/command", (" ".join(map(shlex.quote, command)) + "\n").encode())
    archive.file("lab/get", "".join(f"{path}\n" for path in gets).encode())
    archive.file("lab/token", token.encode())
    if tty:
        archive.file("lab/tty", b"1\n")
    if serial:
        archive.file("lab/serial", b"1\n")
    return archive.bytes()


def guest(modules=(), files=None, busybox=BUSYBOX, programs=()):
    """The tiny guest: it says what it sees, then runs /command, or gives a shell, or what its command line says."""
    archive = Archive()
    base(archive, busybox)
    archive.file("init", script("guest-init"), 0o755)
    for name, data in (files or {}).items():
        archive.file(name, data, 0o755)
    for program in programs:
        put(archive, program, f"bin/{os.path.basename(program)}")
    for name, data in modules:
        archive.file(f"lib/modules/{name}.ko", data)
    archive.file("lib/modules/order", "".join(f"{name}\n" for name, _ in modules).encode())
    return archive.bytes()
