"""Disks and discs that firmware starts, by Debian's GRUB: a BIOS, or UEFI."""
import contextlib
import os
import re
import struct
import subprocess
import tempfile
import threading

from . import BUILD, LabError
from .kernels import unpacked

MODULES = ["part_msdos", "fat", "normal", "configfile", "echo", "linux", "test", "reboot", "halt", "hexdump"]
GRUB = "/usr/lib/grub"
BIOS, UEFI = "i386-pc", "x86_64-efi"
SECTOR, FIRST = 512, 2048  # where the partition begins


def call(*words):
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        raise LabError(f"{words[0]} failed: {(done.stderr or done.stdout).strip().splitlines()[-1:]}")


@contextlib.contextmanager
def made(name):
    """Where a file is to lie, and where it is written first: it is there when it is whole, for a test that runs twice at once."""
    path = os.path.join(BUILD, "guest", name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    new = f"{path}.{os.getpid()}.{threading.get_ident()}"
    try:
        yield path, new
        os.rename(new, path)
    finally:
        if os.path.exists(new):
            os.unlink(new)


def words_of(text):
    """A serial line's text: firmware says where its cursor is, amidst words."""
    return re.sub(r"\x1b\[[0-9;?=]*[A-Za-z]", "", text)


def disc(name, config, platform=BIOS):
    """A GRUB rescue disc with this configuration."""
    with made(name) as (path, new), tempfile.TemporaryDirectory(prefix="disc-") as tree:
        os.makedirs(f"{tree}/boot/grub")
        with open(f"{tree}/boot/grub/grub.cfg", "w") as file:
            file.write(config)
        modules = " ".join(MODULES + ["iso9660"] + (["biosdisk"] if platform == BIOS else []))
        call("grub-mkrescue", "-d", f"{GRUB}/{platform}", f"--install-modules={modules}", f"--modules={modules}", "--fonts=", "--locales=", "--themes=",
             "-o", new, tree)
    return path


def write_disk(path, start, kind, size, folders, files):
    """A hard disk that begins with these bytes and has one active FAT partition of this kind."""
    sectors = size // SECTOR
    start = bytearray(start.ljust(SECTOR, b"\0"))
    start[446:512] = struct.pack("<B3sB3sII", 0x80, b"\1\1\0", kind, b"\xfe\xff\xff", FIRST, sectors - FIRST).ljust(64, b"\0") + b"\x55\xaa"
    with open(path, "wb") as file:
        file.write(start)
        file.truncate(size)
    partition = f"{path}@@{FIRST * SECTOR}"
    call("mformat", "-i", partition, "-v", "BOOT", "::")
    for folder in folders:
        call("mmd", "-i", partition, f"::/{folder}")
    for to, source in files:
        call("mcopy", "-i", partition, source, f"::/{to}")


def disk(name, config, files, size=40 << 20):
    """A hard disk whose boot record starts GRUB, with one FAT partition: its grub/grub.cfg, and files, as pairs of a name and a path here."""
    prefix = "(hd0,msdos1)/grub"
    with made(name) as (path, new), tempfile.TemporaryDirectory(prefix="disk-") as folder:
        with open(f"{folder}/early", "w") as file:
            file.write(f"set prefix={prefix}\nconfigfile $prefix/grub.cfg\n")
        call("grub-mkimage", "-O", BIOS, "-p", prefix, "-c", f"{folder}/early", "-o", f"{folder}/core", "biosdisk", *MODULES)
        with open(f"{GRUB}/{BIOS}/boot.img", "rb") as file:
            boot = file.read(SECTOR)
        with open(f"{folder}/core", "rb") as file:
            core = file.read()  # which looks for itself in the second sector
        if len(core) > (FIRST - 1) * SECTOR:
            raise LabError("GRUB does not fit before the first partition")
        with open(f"{folder}/grub.cfg", "w") as file:
            file.write(config)
        write_disk(new, boot + core, 0x0e, size, ["grub"], [("grub/grub.cfg", f"{folder}/grub.cfg"), *files])
    return path


def signed():
    """The folder of Debian 12's shim and GRUB with their signatures: unpacked, never installed, since a host's own may be others."""
    return os.path.join(unpacked("signed", ["shim-signed", "grub-efi-amd64-signed"]), "usr/lib")


def signed_disk(name, config, files, size=40 << 20):
    """As efi_disk(), of what Secure Boot starts: shim, which starts GRUB, which starts a kernel, each of which is signed."""
    with made(name) as (path, new), tempfile.NamedTemporaryFile("w", prefix="disk-") as file:
        file.write(config)
        file.flush()
        write_disk(new, b"", 0xef, size, ["EFI", "EFI/BOOT", "EFI/debian"],
                   [("EFI/BOOT/BOOTX64.EFI", f"{signed()}/shim/shimx64.efi.signed"), ("EFI/BOOT/grubx64.efi", f"{signed()}/grub/{UEFI}-signed/grubx64.efi.signed"),
                    ("EFI/debian/grub.cfg", file.name), *files])
    return path


def efi_disk(name, config, files, size=40 << 20):
    """The same with an EFI system partition, from which GRUB is started as of any removable disk."""
    with made(name) as (path, new), tempfile.TemporaryDirectory(prefix="disk-") as folder:
        call("grub-mkimage", "-O", UEFI, "-p", "/grub", "-o", f"{folder}/core", *MODULES)
        with open(f"{folder}/grub.cfg", "w") as file:
            file.write(config)
        write_disk(new, b"", 0xef, size, ["grub", "EFI", "EFI/BOOT"],
                   [("grub/grub.cfg", f"{folder}/grub.cfg"), ("EFI/BOOT/BOOTX64.EFI", f"{folder}/core"), *files])
    return path
