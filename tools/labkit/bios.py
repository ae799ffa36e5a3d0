"""Disks and discs that a BIOS starts, by Debian's GRUB."""
import os
import struct
import subprocess
import tempfile

from . import BUILD, LabError

MODULES = ["biosdisk", "part_msdos", "fat", "normal", "configfile", "echo", "linux", "test", "reboot", "hexdump"]
GRUB = "/usr/lib/grub/i386-pc"
SECTOR, FIRST = 512, 2048  # where the partition begins


def call(*words):
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        raise LabError(f"{words[0]} failed: {(done.stderr or done.stdout).strip().splitlines()[-1:]}")


def place(name):
    os.makedirs(os.path.join(BUILD, "guest"), exist_ok=True)
    return os.path.join(BUILD, "guest", name)


def disc(name, config):
    """A GRUB rescue disc with this configuration."""
    path = place(name)
    with tempfile.TemporaryDirectory(prefix="disc-") as tree:
        os.makedirs(f"{tree}/boot/grub")
        with open(f"{tree}/boot/grub/grub.cfg", "w") as file:
            file.write(config)
        modules = " ".join(MODULES + ["iso9660"])
        call("grub-mkrescue", "-d", GRUB, f"--install-modules={modules}", f"--modules={modules}", "--fonts=", "--locales=", "--themes=",
             "-o", path, tree)
    return path


def disk(name, config, files, size=40 << 20):
    """A hard disk whose boot record starts GRUB, with one FAT partition: its grub/grub.cfg, and files, as pairs of a name and a path here."""
    path, prefix = place(name), "(hd0,msdos1)/grub"
    with tempfile.TemporaryDirectory(prefix="disk-") as folder:
        with open(f"{folder}/early", "w") as file:
            file.write(f"set prefix={prefix}\nconfigfile $prefix/grub.cfg\n")
        call("grub-mkimage", "-O", "i386-pc", "-p", prefix, "-c", f"{folder}/early", "-o", f"{folder}/core", *MODULES)
        with open(f"{GRUB}/boot.img", "rb") as file:
            boot = bytearray(file.read(SECTOR))
        with open(f"{folder}/core", "rb") as file:
            core = file.read()
        if len(core) > (FIRST - 1) * SECTOR:
            raise LabError("GRUB does not fit before the first partition")
        sectors = size // SECTOR
        boot[446:510] = struct.pack("<B3sB3sII", 0x80, b"\1\1\0", 0x0e, b"\xfe\xff\xff", FIRST, sectors - FIRST).ljust(64, b"\0")
        with open(path, "wb") as file:
            file.write(bytes(boot) + core)  # which looks for itself in the second sector
            file.truncate(size)
        with open(f"{folder}/grub.cfg", "w") as file:
            file.write(config)
        partition = f"{path}@@{FIRST * SECTOR}"
        call("mformat", "-i", partition, "-v", "BOOT", "::")
        call("mmd", "-i", partition, "::/grub")
        for to, source in [("grub/grub.cfg", f"{folder}/grub.cfg"), *files]:
            call("mcopy", "-i", partition, source, f"::/{to}")
    return path
