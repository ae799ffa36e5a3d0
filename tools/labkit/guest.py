"""The tiny guest for a child partition: which files the root needs for it, and vmwp's command line."""
import os
import shlex

from . import BUILD, initramfs, kernels
from .modules import Modules

CMDLINE = "console=ttyS0 panic=-1"


def initrd(name="tiny", command=None, drivers=(), kernel=None, files=None):
    """Write the guest's initramfs to build/guest/NAME; command is a shell script that it runs instead of a shell."""
    extra = dict(files or {})
    if command is not None:
        extra["command"] = command.encode()
    modules = Modules(kernel.modules).closure(drivers) if kernel else []
    path = os.path.join(BUILD, "guest", f"{name}.cpio")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    data = initramfs.guest(modules, extra)
    new = f"{path}.{os.getpid()}"
    with open(new, "wb") as file:
        file.write(data)
    os.rename(new, path)
    return path


def puts(kernel_name="6.1", initrd_path=None):
    """What to carry into the root for a guest of that kernel."""
    return [(kernels.get(kernel_name).image, "/root/vmlinuz"), (initrd_path or initrd(), "/root/initrd")]


def worker(name="tiny", memory="512M", vps=2, append="", serial="stdio", kernel="/root/vmlinuz", initrd="/root/initrd"):
    """vmwp's command line, as words."""
    words = ["vmwp", "--name", name, "--kernel", kernel]
    if initrd:
        words += ["--initrd", initrd, "--append", f"{CMDLINE} {append}".strip()]
    return words + ["--memory", str(memory), "--vps", str(vps), "--serial", serial]


def shell(words):
    return " ".join(map(shlex.quote, words))
