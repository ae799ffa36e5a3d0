"""A Debian 12 system on a disk, made once: mmdebstrap installs it, mke2fs makes its file system, our vhd a VHDX of it.

Nothing is mounted. What is made stays in build/cache until somebody removes it there:

    vmlinuz, initrd   the kernel that is installed on the disk, and the initrd that Debian made for it
    host.ext4         the disk that the lab gives to the root; on it debian.vhdx, the guest's disk
    disk.raw          the same, raw, for a machine whose root it is: with what our packages depend on, and GRUB's tools
"""
import glob
import hashlib
import os
import shutil
import struct
import subprocess
import sys
import time

from . import BUILD, CACHE, LabError
from .kernels import once

PACKAGES = ["systemd-sysv", "udev", "kmod", "linux-image-cloud-amd64", "e2fsprogs", "iproute2", "wget"]
# What our packages (debian/control) want of a root, that they can be installed without a network.
PACKAGES += ["seabios", "grub-pc-bin", "grub2-common", "libcurl3-gnutls", "libjansson4", "libmicrohttpd12", "libpng16-16", "libseccomp2",
             "libslirp0", "liburing2", "libvncserver1", "libxml2", "libzydis4.0"]
MIRRORS = ["deb http://deb.debian.org/debian bookworm main", "deb http://deb.debian.org/debian-security bookworm-security main"]
DISK = 2 << 30       # of the guest; most of it is never written
HOST_DISK = 6 << 30  # room for the VHDX to grow, and for a test's own disks
START = 1 << 20      # of the only partition
KEEP = 7 * 24 * 3600  # seconds: disks of older recipes
# What nobody reads in there.
WITHOUT = ["/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/lintian/*"]
# The initrd has the drivers for this disk, as a guest's and as a root's, and no others; a machine that emulates another unpacks a large one slowly.
DRIVERS = ["hv_vmbus", "hv_storvsc", "sd_mod", "virtio_pci", "virtio_blk"]
# The host may be busy, and an emulator is slow then: what takes its time is not given up.
SLOW = "[Manager]\nDefaultTimeoutStartSec=30min\nDefaultDeviceTimeoutSec=30min"
# Each interface by DHCP; names by what NAT of the virtual switch offers (switch/nat.c), for no other network has a machine of ours.
NETWORK = "[Match]\nType=ether\n\n[Network]\nDHCP=yes"
NAMES = "nameserver 10.0.2.3"
# Of a root, in a test: the second disk is an archive with what is to be done (tests/system/package_tests.py).
TASK = """[Unit]
ConditionPathExists=/dev/vdb

[Service]
Type=exec
ExecStart=/bin/sh -c 'tar -xf /dev/vdb -C /run && exec sh /run/task'

[Install]
WantedBy=multi-user.target"""
# Timers and jobs that a machine which lives for a minute has no use for.
MASKED = ["apt-daily.timer", "apt-daily-upgrade.timer", "e2scrub_all.timer", "e2scrub_reap.service", "fstrim.timer",
          "dpkg-db-backup.timer", "systemd-pstore.service", "getty-static.service"]


def say(text):
    print(f"lab: {text}", file=sys.stderr, flush=True)


def before(files):
    """Hook: files that have to be there before the kernel is installed."""
    return [f'mkdir -p "$(dirname "$1/{name}")" && cat >"$1/{name}" <<\'EOT\'\n{text}\nEOT' for name, text in files.items()]


def configure():
    """Hook: root logs in without a password, on the serial console too."""
    masked = " ".join(MASKED)
    return ['chroot "$1" passwd -d root >/dev/null', 'echo verdigris >"$1/etc/hostname"',
            'echo "LABEL=debian / ext4 defaults,errors=remount-ro 0 1" >"$1/etc/fstab"',
            'echo "127.0.0.1 localhost verdigris" >"$1/etc/hosts"',
            f'printf "{NAMES}\\n" >"$1/etc/resolv.conf"',
            'mkdir -p "$1/etc/systemd/system/multi-user.target.wants"',
            'ln -sf /lib/systemd/system/systemd-networkd.service "$1/etc/systemd/system/multi-user.target.wants/"',
            'ln -sf ../task.service "$1/etc/systemd/system/multi-user.target.wants/"',
            f'for unit in {masked}; do ln -sf /dev/null "$1/etc/systemd/system/$unit"; done',
            'rm -rf "$1"/var/cache/apt/*.bin "$1"/var/lib/apt/lists/*']


def partition_table(sectors):
    """An MBR with one Linux partition from START to the end; CHS as for what is too large for it."""
    entry = struct.pack("<B3sB3sII", 0x80, b"\xfe\xff\xff", 0x83, b"\xfe\xff\xff", START // 512, sectors - START // 512)
    return bytes(440) + struct.pack("<IH", 0x56444752, 0) + entry + bytes(48) + b"\x55\xaa"


def call(command, **options):
    """Run it; what it says is shown when it fails."""
    done = subprocess.run(command, **options, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise LabError(f"{os.path.basename(command[0])} failed: " + " / ".join(done.stdout.strip().splitlines()[-3:]))


def program(name, package):
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if not path:
        raise LabError(f"no {name}: install {package}, or run tools/setup")
    return path


def install(folder):
    """mmdebstrap's tree, as an archive. It makes one in whatever way this user may: as root, or in a user namespace."""
    files = {
        "etc/initramfs-tools/conf.d/verdigris": "MODULES=list",
        "etc/initramfs-tools/modules": "\n".join(DRIVERS),
        "etc/kernel-img.conf": "do_symlinks = no",
        "etc/systemd/system.conf.d/slow.conf": SLOW,
        "etc/systemd/network/ethernet.network": NETWORK,
        "etc/systemd/system/task.service": TASK,
    }
    command = [program("mmdebstrap", "mmdebstrap"), "--variant=minbase", "--include=" + ",".join(PACKAGES)]
    command += [f"--dpkgopt=path-exclude={pattern}" for pattern in WITHOUT]
    command += [f"--essential-hook={hook}" for hook in before(files)]
    command += [f"--customize-hook={hook}" for hook in configure()]
    with open(f"{folder}/log", "w") as log:
        process = subprocess.Popen([*command, "bookworm", f"{folder}/tree.tar", *MIRRORS], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for line in process.stdout:
            log.write(line)
            if line.startswith("I: ") and line.endswith("...\n"):
                say(f"Debian 12: {line[3:-4]}")
    if process.wait():
        with open(f"{folder}/log") as log:
            raise LabError("mmdebstrap failed: " + " / ".join(log.read().strip().splitlines()[-3:]))


def write_image(folder, image):
    """A partition table, and a file system made of the tree; its owners are right without being root by fakeroot."""
    with open(image, "wb") as file:
        file.write(partition_table(DISK // 512))
        file.truncate(DISK)
    script = f"""set -e
        mkdir tree
        tar -xf tree.tar -C tree --exclude './dev/*'
        cat tree/boot/vmlinuz-* >vmlinuz
        cat tree/boot/initrd.img-* >initrd
        {program("mke2fs", "e2fsprogs")} -q -F -t ext4 -m 0 -L debian -J size=8 -E offset={START},nodiscard -d tree \
            {image} {(DISK - START) // 1024}k
        rm -rf tree tree.tar"""
    as_root = [] if os.geteuid() == 0 else [program("fakeroot", "fakeroot")]
    call([*as_root, "sh", "-c", script], cwd=folder)


def make(folder):
    # Another tree that shares the cache may be at an older recipe, so what was made of late stays.
    for old in glob.glob(os.path.join(CACHE, "debian-12*")):
        if time.time() - os.path.getmtime(old) > KEEP:
            shutil.rmtree(old)
    vhd = os.path.join(BUILD, "disk", "vhd")
    if not os.path.exists(vhd):
        raise LabError("the disk tool is not built: run make")
    os.makedirs(f"{folder}/carried")
    image = f"{folder}/disk.raw"
    say("making a Debian 12 disk, this once; it is kept in build/cache")
    install(folder)
    say("Debian 12: making its file system, and a VHDX of it")
    write_image(folder, image)
    call([vhd, "convert", image, f"{folder}/carried/debian.vhdx"])
    carrier(f"{folder}/host.ext4", f"{folder}/carried", HOST_DISK)
    shutil.rmtree(f"{folder}/carried")


def carrier(path, folder, size):
    """A file system in a file, with what is in the folder on it."""
    call([program("mke2fs", "e2fsprogs"), "-q", "-F", "-t", "ext4", "-m", "0", "-O", "^has_journal", "-E",
          "nodiscard,lazy_itable_init=1", "-d", folder, path, f"{size >> 10}k"])


class Debian:
    def __init__(self, folder):
        self.image = f"{folder}/vmlinuz"
        self.initrd = f"{folder}/initrd"
        self.host_disk = f"{folder}/host.ext4"
        self.disk = f"{folder}/disk.raw"


def get():
    """The system, made anew when this file has changed."""
    with open(__file__, "rb") as recipe:
        name = "debian-12-" + hashlib.sha256(recipe.read()).hexdigest()[:12]
    return Debian(once(os.path.join(CACHE, name), make))
