"""A disk image that GRUB boots, on BIOS and on UEFI: the machine as a person's own would start."""
import os
import shutil
import subprocess

from . import LabError
from .machine import hypervisor_images

CONFIG = """serial --unit=0 --speed=115200
terminal_output serial
set timeout=0
set gfxpayload=text
menuentry verdigris {{
{commands}
}}
"""
BIOS = ("-d", "/usr/lib/grub/i386-pc")
OVMF = "/usr/share/OVMF/OVMF_CODE_4M.fd"
OVMF_VARS = "/usr/share/OVMF/OVMF_VARS_4M.fd"


def commands(protocol, cmdline, options):
    """GRUB's commands for a boot by multiboot 1 or 2, or of the root alone (linux)."""
    if protocol == "linux":
        return [f"linux /vmlinuz {cmdline}", "initrd /initrd"]
    suffix = "2" if protocol == 2 else ""
    _, images = hypervisor_images()
    lines = [f"multiboot{suffix} /hvloader.elf hvloader {options}"]
    lines += [f"module{suffix} /{os.path.basename(image)}" for image in images]
    return lines + [f"module{suffix} /vmlinuz vmlinuz {cmdline}", f"module{suffix} /initrd"]


def make(path, protocol, image, initrd, cmdline, options="", platform=()):
    """Write the image; grub-mkrescue makes one that a disk, a stick or a CD can hold, for all platforms or for one."""
    folder = path + ".d"
    os.makedirs(f"{folder}/boot/grub")
    files = {"vmlinuz": image, "initrd": initrd}
    if protocol != "linux":
        loader, images = hypervisor_images()
        files |= {"hvloader.elf": loader} | {os.path.basename(each): each for each in images}
    for name, source in files.items():
        shutil.copyfile(source, f"{folder}/{name}")
    with open(f"{folder}/boot/grub/grub.cfg", "w") as config:
        config.write(CONFIG.format(commands="\n".join("\t" + line for line in commands(protocol, cmdline, options))))
    try:
        done = subprocess.run(["grub-mkrescue", *platform, "--locales=", "--fonts=", "--themes=", "-o", path, folder], capture_output=True, text=True)
    except FileNotFoundError:
        raise LabError("no grub-mkrescue: install grub-common, or run tools/setup") from None
    if done.returncode:
        raise LabError(f"grub-mkrescue failed: {done.stderr.strip().splitlines()[-1]}")
    shutil.rmtree(folder)


def boot(path, firmware):
    """QEMU's arguments to start from the image as from a disk, by SeaBIOS (bios) or OVMF (uefi)."""
    drive = ["-drive", f"if=none,id=boot,format=raw,read-only=on,file={path}",
             "-device", "ide-cd,drive=boot,bootindex=0"]
    if firmware == "bios":
        return drive
    variables = path + ".vars"
    shutil.copyfile(OVMF_VARS, variables)
    return ["-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={OVMF}",
            "-drive", f"if=pflash,unit=1,format=raw,file={variables}", *drive]
