"""The tiny guest for a child partition: which files the root needs for it, and vmwp's command line."""
import os
import shlex
import threading

from . import BUILD, initramfs, kernels
from .modules import Modules

# Warnings and worse are shown; the rest of the kernel's log costs an exit to the worker for each character.
STOCK = "console=ttyS0 panic=-1 loglevel=5"
CMDLINE = f"{STOCK} {kernels.QUICK}"


def initrd(name="tiny", command=None, kernel=None, drivers=(), architecture="amd64", programs=(), more=None):
    """Write the guest's initramfs to build/guest; command is a shell script that it runs instead of a shell, programs are files
    for its /bin, which come with their libraries; more is other files, their bytes by path."""
    files = {**({} if command is None else {"command": command.encode()}), **(more or {})}
    modules = Modules(kernel.modules).closure(drivers) if drivers else []
    path = os.path.join(BUILD, "guest", f"{name}-{architecture}.cpio")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    new = f"{path}.{os.getpid()}.{threading.get_ident()}"
    with open(new, "wb") as file:
        file.write(initramfs.guest(modules, files, kernels.busybox(architecture), programs))
    os.rename(new, path)
    return path


def puts(kernel="6.1", path=None):
    """What to carry into the root for a guest of that kernel."""
    return [(kernels.get(kernel).image, "/root/vmlinuz"), (path or initrd(), "/root/initrd")]


def worker(name="tiny", memory="512M", vps=2, append="", serial="stdio", kernel="/root/vmlinuz", initrd_="/root/initrd", more=(), cmdline=CMDLINE):
    """vmwp's command line for a Linux guest, as words."""
    return ["vmwp", "--name", name, "--kernel", kernel, "--initrd", initrd_,
            "--append", f"{cmdline} {append}".strip(), "--memory", memory, "--vps", str(vps), "--serial", serial, *more]


def program(path, words="", memory="64M", vps=1):
    """vmwp's command line for one of the guests of tests/guest."""
    return ["vmwp", "--name", "program", "--kernel", path, "--append", words, "--memory", memory, "--vps", str(vps),
            "--serial", "stdio"]


def shell(words):
    return " ".join(map(shlex.quote, words))
