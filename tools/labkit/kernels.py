"""Debian's stock kernels by name: fetched with an apt configuration of our own, unpacked, never installed.

A name is a series, with the flavour where it is not the 64-bit cloud one. What is fetched stays in build/cache until
somebody removes it there, so every later run has the same kernels and needs no network.
"""
import fcntl
import glob
import os
import re
import shutil
import subprocess
import sys

from . import CACHE, LabError

# What kernels are told where nobody looks at their boot: half of its instructions are self-tests of the kernel's ciphers. A package's
# host, and a boot that is measured, have them.
QUICK = "cryptomgr.notests"

BOOKWORM = ["bookworm", "bookworm-updates", "bookworm-security"]

# name: (suites, architecture, package or meta package). Debian has no i386 kernel newer than 6.5.
KERNELS = {
    "6.1": (BOOKWORM, "amd64", "linux-image-cloud-amd64"),
    "6.12": (["bookworm-backports"], "amd64", "linux-image-cloud-amd64"),
    "7": (["trixie-backports"], "amd64", "linux-image-cloud-amd64"),
    "6.1-generic": (BOOKWORM, "amd64", "linux-image-amd64"),
    "6.12-generic": (["bookworm-backports"], "amd64", "linux-image-amd64"),
    "6.1-i386": (BOOKWORM, "i386", "linux-image-686-pae"),
    "6.5-i386": (["bookworm-backports"], "i386", "linux-image-6.5.0-0.deb12.4-686-pae"),
}


def run(command, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode:
        raise LabError(f"{command[0]} failed: {(done.stderr or done.stdout).strip().splitlines()[-1:]}")
    return done.stdout


class Apt:
    """apt-get and apt-cache over the given suites alone, with lists of our own; no root needed."""

    def __init__(self, suites, architecture):
        self.home = os.path.join(CACHE, "apt", f"{suites[0]}-{architecture}")
        for folder in ("lists/partial", "archives/partial", "etc"):
            os.makedirs(os.path.join(self.home, folder), exist_ok=True)
        self.architecture = architecture
        with open(os.path.join(self.home, "sources.list"), "w") as sources:
            for suite in suites:
                archive = "debian-security" if suite.endswith("-security") else "debian"
                sources.write(f"deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] "
                              f"http://deb.debian.org/{archive} {suite} main\n")
        open(os.path.join(self.home, "status"), "a").close()

    def call(self, program, *arguments, **options):
        settings = {
            "Dir::Etc::sourcelist": f"{self.home}/sources.list", "Dir::Etc::sourceparts": "-",
            "Dir::Etc::preferences": "-", "Dir::Etc::preferencesparts": "-",
            "Dir::State": self.home, "Dir::State::lists": f"{self.home}/lists",
            "Dir::State::status": f"{self.home}/status", "Dir::Cache": self.home,
            "Dir::Cache::archives": f"{self.home}/archives", "APT::Architecture": self.architecture,
            "APT::Architectures": self.architecture, "Acquire::Languages": "none", "APT::Sandbox::User": "root",
        }
        flags = [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]
        return run([program, "-q", *flags, *arguments], **options)

    def update(self):
        """Fetch the lists, once. A suite that is out of sync on the mirror is done without if others are there."""
        have = f"{self.home}/lists/*_Packages*"
        if not glob.glob(have):
            try:
                self.call("apt-get", "update")
            except LabError:
                if not glob.glob(have):
                    raise

    def field(self, package, name):
        match = re.search(rf"^{name}: (.*)$", self.call("apt-cache", "show", "--no-all-versions", package), re.M)
        return match[1] if match else ""

    def unpack(self, packages, folder):
        os.makedirs(folder, exist_ok=True)
        self.call("apt-get", "download", *packages, cwd=folder)
        for deb in glob.glob(f"{folder}/*.deb"):
            run(["dpkg-deb", "-x", deb, folder])
            os.unlink(deb)


class Kernel:
    """An unpacked kernel: .image (bzImage), .version, .modules (folder of its modules, or None)."""

    def __init__(self, image, modules=None):
        self.image = image
        self.version = bzimage_version(image)
        self.modules = modules
        for base in (os.path.join(os.path.dirname(image), ".."), os.path.join(os.path.dirname(image), "../../.."), "/"):
            folder = os.path.realpath(os.path.join(base, "lib/modules", self.version))
            if not self.modules and os.path.isdir(os.path.join(folder, "kernel")):
                self.modules = folder


def bzimage_version(path):
    try:
        with open(path, "rb") as file:
            head = file.read(0x10000)
    except OSError as error:
        raise LabError(f"cannot read the kernel {path}: {error.strerror}") from None
    if head[0x202:0x206] != b"HdrS":
        raise LabError(f"{path} is not a Linux kernel (no bzImage header)")
    at = int.from_bytes(head[0x20e:0x210], "little") + 0x200
    return head[at:at + 100].split(b"\0")[0].split(b" ")[0].decode()


def once(folder, make):
    """Make the folder in one step, by one process, if it is not there."""
    if not os.path.isdir(folder):
        os.makedirs(os.path.dirname(folder), exist_ok=True)
        with open(os.path.join(CACHE, "lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not os.path.isdir(folder):
                shutil.rmtree(folder + ".new", ignore_errors=True)
                make(folder + ".new")
                os.rename(folder + ".new", folder)
    return folder


def say(text):
    print(f"lab: {text}", file=sys.stderr, flush=True)


def fetch_image(name, folder):
    suites, architecture, meta = KERNELS[name]
    say(f"fetching Debian's kernel {name} ({meta}, {suites[0]}, {architecture})")
    apt = Apt(suites, architecture)
    apt.update()
    names = re.findall(r"linux-image-\d[^ ,]*", apt.field(meta, "Depends"))
    package = names[0] if names else meta
    # From 7.x on the image package is empty, and depends on one with the image and one with the modules.
    parts = re.findall(r"linux-(?:binary|modules)-\d[^ ,]*", apt.field(package, "Depends"))
    apt.unpack([package] + parts, folder)
    if not os.path.isdir(f"{folder}/lib"):
        os.symlink("usr/lib", f"{folder}/lib")


def get(name):
    """The kernel of that name, or of that file."""
    if name not in KERNELS:
        if os.path.exists(name):
            return Kernel(os.path.realpath(name))
        raise LabError(f"no kernel {name}: neither a file nor one of {', '.join(KERNELS)}")
    folder = once(os.path.join(CACHE, "kernels", name), lambda new: fetch_image(name, new))
    return Kernel((glob.glob(f"{folder}/boot/vmlinuz-*") + glob.glob(f"{folder}/lib/modules/*/vmlinuz"))[0])


def fetch_headers(name, version, folder):
    suites, architecture, _ = KERNELS[name]
    say(f"fetching the headers of {version}")
    apt = Apt(suites, architecture)
    apt.update()
    headers = f"linux-headers-{version}"
    depends = apt.field(headers, "Depends")
    apt.unpack([headers] + re.findall(r"linux-(?:headers-\S+-common|kbuild-[^ ,]+)", depends), folder)
    relocate(folder)
    if suites[0].startswith("trixie"):
        carry_libraries(folder)
    link = f"{folder}/lib/modules/{version}/build"
    os.makedirs(os.path.dirname(link), exist_ok=True)
    if os.path.lexists(link):
        os.unlink(link)
    os.symlink(f"../../../usr/src/{headers}", link)


def relocate(folder):
    """Headers name each other by absolute paths, /usr/src/...; point them to where they are now."""
    for root, _, files in os.walk(f"{folder}/usr/src"):
        for name in files:
            path = os.path.join(root, name)
            if name in ("Makefile", ".kernelvariables") and not os.path.islink(path):
                text = open(path).read()
                if "/usr/src/linux-headers" in text or "/usr/lib/linux-kbuild" in text:
                    final = folder.removesuffix(".new")
                    text = text.replace("/usr/src/linux-", f"{final}/usr/src/linux-")
                    text = text.replace("/usr/lib/linux-kbuild", f"{final}/usr/lib/linux-kbuild")
                    open(path, "w").write(text)


def carry_libraries(folder):
    """Debian 13's kbuild programs want Debian 13's C library: unpack it, and start them through its own loader."""
    apt = Apt(["trixie"], "amd64")
    apt.update()
    apt.unpack(["libc6", "libelf1t64", "zlib1g", "libzstd1", "libssl3t64"], f"{folder}/runtime")
    final = folder.removesuffix(".new") + "/runtime"
    libraries = f"{final}/usr/lib/x86_64-linux-gnu"
    for root, _, files in os.walk(f"{folder}/usr/lib"):
        for name in files:
            path = os.path.join(root, name)
            with open(path, "rb") as file:
                program = not os.path.islink(path) and file.read(4) == b"\x7fELF" and os.access(path, os.X_OK)
            if program:
                os.rename(path, path + ".bin")
                with open(path, "w") as script:
                    # Some find their helpers by the name under which they were started.
                    script.write(f'#!/bin/sh\nexec {libraries}/ld-linux-x86-64.so.2 --library-path {libraries} '
                                 f'--argv0 "$0" "$0.bin" "$@"\n')
                os.chmod(path, 0o755)


def get_headers(name):
    """Headers for the kernel of that name: the installed ones, or fetched ones in build/cache/headers."""
    version = get(name).version
    if not os.path.isdir(f"/lib/modules/{version}/build"):
        once(os.path.join(CACHE, "headers", name), lambda new: fetch_headers(name, version, new))
    return version


def busybox(architecture):
    """A static busybox for a guest: this machine's, or Debian's for another architecture."""
    if architecture == "amd64":
        return "/bin/busybox"

    return os.path.join(unpacked(f"busybox-{architecture}", ["busybox-static"], architecture), "bin/busybox")


def unpacked(name, packages, architecture="amd64"):
    """The folder in the cache of these packages of Debian 12, which are never installed."""
    def fetch(folder):
        apt = Apt(BOOKWORM, architecture)
        apt.update()
        apt.unpack(packages, folder)
    return once(os.path.join(CACHE, name), fetch)
