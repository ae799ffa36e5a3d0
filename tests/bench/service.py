#!/usr/bin/env python3
"""What the management service costs: its memory with 0, 50 and 200 machines, and the instructions of a list of 200, beside libvirtd with its driver for QEMU
and `virsh list`; and from `vm start` to the guest's first line, beside the worker alone. Bytes and instructions: nothing here is a time.

Instructions of the first two are those of the processes in user space, counted by callgrind: what a list more costs, of lists more and fewer.
"""
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid

TOP = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
BUILD = os.path.join(TOP, "build")
COUNTS = (0, 50, 200)
LISTS = (2, 12)              # of one run and of the other
COUNT = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
PATIENCE = 900
# Read at its start, and kept although there is no such emulator: what it would ask one is not what is measured.
DOMAIN = """<domain type='qemu'><name>m{0:03}</name><uuid>{1}</uuid><memory>65536</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type></os><devices><emulator>/nowhere/qemu</emulator></devices></domain>"""


def memory(process):
    """KiB that it has, and that nobody else has."""
    with open(f"/proc/{process}/smaps_rollup", encoding="ascii") as file:
        rows = dict(re.findall(r"^(\w+): +(\d+) kB$", file.read(), re.M))
    return int(rows["Rss"]), int(rows["Private_Clean"]) + int(rows["Private_Dirty"])


def collected(text):
    """Of the process itself: what it forked says so too."""
    return max(map(int, re.findall(r"Collected : (\d+)", text)))


def wait_for(path, process):
    end = time.monotonic() + PATIENCE
    while True:
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(path)
                return
        except OSError:
            if process.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"bench: {path}: nobody listens") from None
            time.sleep(0.05)


def run(*words, **options):
    done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, **options)
    if done.returncode:
        raise SystemExit(f"bench: {' '.join(words)}: {done.stderr}")
    return done


class Daemon:
    """One that is measured: `begin` starts it with so many machines."""

    def __init__(self, words, path, client):
        self.words, self.path, self.client = words, path, client

    def start(self, *before):
        if os.path.exists(self.path):
            os.unlink(self.path)
        self.log = tempfile.TemporaryFile("w+")
        process = subprocess.Popen([*before, *self.words], stdout=self.log, stderr=subprocess.STDOUT)
        wait_for(self.path, process)
        return process

    def end(self, process):
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)
        self.log.seek(0)
        return self.log.read()

    def list(self):
        return run(*self.client).stdout

    def count(self):
        return len(re.findall(r"\bm\d\d\d\b", self.list()))

    def measure_memory(self, count):
        process = self.start()
        if self.count() != count:
            raise SystemExit(f"bench: {self.words[0]} does not list {count}")
        found = memory(process.pid)
        self.end(process)
        return found

    def measure_list(self):
        """Instructions of one list more: of the daemon, and of its client."""
        counts = []
        for lists in LISTS:
            process = self.start(*COUNT)
            for _ in range(lists):
                self.list()
            counts.append(collected(self.end(process)))
        process = self.start()
        client = collected(run(*COUNT, *self.client).stderr)
        self.end(process)
        return (counts[1] - counts[0]) // (LISTS[1] - LISTS[0]), client


def ours():
    folder = tempfile.mkdtemp(prefix="vmms-bench-")
    path, store = os.path.join(folder, "socket"), os.path.join(folder, "store")
    daemon = Daemon([os.path.join(BUILD, "service/vmms"), "--socket", path, "--store", store, "--run", os.path.join(folder, "run")], path,
                    [os.path.join(BUILD, "cli/vm"), "--socket", path, "list"])
    found = {"memory": {}}
    try:
        for count in COUNTS:
            for i in range(len(os.listdir(store)) if os.path.exists(store) else 0, count):
                os.makedirs(os.path.join(store, f"m{i:03}"))
                with open(os.path.join(store, f"m{i:03}", "machine.json"), "w", encoding="ascii") as file:
                    json.dump({"id": str(uuid.uuid4()), "memory": "64M", "vps": 1, "kernel": "/k"}, file)
            found["memory"][count] = daemon.measure_memory(count)
        found["list"] = daemon.measure_list()
    finally:
        shutil.rmtree(folder)
    return found


def libvirtd():
    """In namespaces where what it keeps is its own, and a shell as first process takes in those that it leaves behind."""
    os.makedirs("/etc/libvirt", exist_ok=True)
    for place in ("/etc/libvirt", "/var/lib/libvirt", "/var/cache/libvirt", "/var/log/libvirt", "/run"):
        if os.path.isdir(place):
            run("mount", "-t", "tmpfs", "none", place)
    if not os.path.islink("/var/run"):
        run("mount", "--bind", "/run", "/var/run")
    # Its user for guests is of a package that is not needed here; nobody is started.
    for name, line in (("passwd", "libvirt-qemu:x:64055:64055::/:/bin/false\n"), ("group", "libvirt-qemu:x:64055:\nkvm:x:64056:\n")):
        with open(f"/etc/{name}", encoding="utf-8") as file:
            text = file.read()
        with open(f"/run/{name}", "w", encoding="utf-8") as file:
            file.write(text + line)
        run("mount", "--bind", f"/run/{name}", f"/etc/{name}")
    path = "/run/libvirt/libvirt-sock"
    os.makedirs(os.path.dirname(path))
    daemon = Daemon(["libvirtd"], path, ["virsh", "-q", "-c", "qemu:///system", "list", "--all"])
    found = {"memory": {}}
    os.makedirs("/etc/libvirt/qemu")
    for count in COUNTS:
        for i in range(len(os.listdir("/etc/libvirt/qemu")), count):
            with open(f"/etc/libvirt/qemu/m{i:03}.xml", "w", encoding="ascii") as file:
                file.write(DOMAIN.format(i, uuid.uuid4()))
        found["memory"][count] = daemon.measure_memory(count)
    found["list"] = daemon.measure_list()
    print(json.dumps(found))


def host():
    mine, other = ours(), None
    if shutil.which("libvirtd") and os.geteuid() == 0:
        other = json.loads(run("unshare", "-m", "-p", "--fork", "--mount-proc", "sh", "-c", '"$@" & wait $!', "sh",
                               sys.executable, os.path.abspath(__file__), "libvirtd").stdout)
    print(f"{'the management service':44}{'vmms':>12}{'libvirtd':>12}")

    def row(title, of_mine, of_other):
        print(f"{title:44}{of_mine:12,}{'-' if of_other is None else f'{of_other:,}':>12}")
    for count in COUNTS:
        for i, what in enumerate(("resident", "of it no other process's")):
            row(f"{count} machines, {what}, KiB", mine["memory"][count][i], other and other["memory"][str(count)][i])
    row("a list of 200, instructions", mine["list"][0], other and other["list"][0])
    row("... of its client", mine["list"][1], other and other["list"][1])


def start(root, guest_image, tools):
    """Instructions of the whole machine, hypervisor and root included, to a guest's first line."""
    alone = ["vmwp", "--name", "first", "--kernel", "/root/guest.elf", "--memory", "64M", "--vps", "1", "--serial", "stdio"]
    puts = [(guest_image, "/root/guest.elf"), (f"{tools}/watch", "/root/watch"),
            *((os.path.join(BUILD, name), f"/usr/bin/{os.path.basename(name)}") for name in ("service/vmms", "cli/vm", "cli/vmctl", "worker/vmwp"))]
    by_service = "vm start first && exec vm console first"
    text = root("vmms 2>/dev/null & until vm host >/dev/null 2>&1; do usleep 100000; done; vm create first --kernel /root/guest.elf --memory 64M --vps 1; "
                f"./watch '' none sh -c {shlex.quote(by_service)}; vm turn-off first; ./watch '' none {' '.join(alone)}", puts=puts)
    found = [int(ticks) for ticks in re.findall(r"^watch: ticks (\d+)", text, re.M)]
    if len(found) != 2:
        raise SystemExit(f"bench: the guest did not start:\n{text}")
    print(f"{'to a guest`s first line, instructions':44}{'vm start':>12}{'the worker':>12}".replace("`", "'"))
    print(f"{'':44}{found[0]:12,}{found[1]:12,}")


if __name__ == "__main__":
    libvirtd() if sys.argv[1:] == ["libvirtd"] else host()
