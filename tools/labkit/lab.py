"""One run of the lab: boot the machine, run a command in its root partition, bring back output, status and files."""
import concurrent.futures
import dataclasses
import os
import secrets
import selectors
import tempfile
import time

from . import LabError, bochs, image, initramfs, kernels
from .channel import Channel
from .machine import take_slot
from .qemu import Qemu, linux_boot, multiboot

ROOT_CMDLINE = f"console=ttyS0,115200 earlyprintk=ttyS0,115200 panic=-1 oops=panic {kernels.QUICK}"
CHANNELS = ("port", "com2")      # the streams that may carry the channel; the root chooses


@dataclasses.dataclass
class Options:
    command: list
    lps: int = 0                 # 0: what is usual on the emulator, 2 or 1
    memory: int = 2048
    vendor: str = "svm"
    root_kernel: str = "6.1"
    icount: bool = False
    bare: bool = False
    puts: list = dataclasses.field(default_factory=list)     # (host path, path in the root)
    gets: list = dataclasses.field(default_factory=list)     # (path in the root, host path)
    disks: list = dataclasses.field(default_factory=list)    # host files: /dev/vda ...; what is written to them is lost
    link: tuple = ()             # a card on a cable: (this machine's socket, the other machine's)
    paired: bool = False         # its slot on this host is that of the two
    timeout: float = 600
    accel: str = "tcg"
    cpu: str = ""                # empty: what is usual on the emulator
    emulator: str = ""           # empty: the one for the vendor
    machine: str = "q35,vmport=off"   # QEMU's
    append: str = ""             # more of the root's command line
    hv_append: str = ""          # the hypervisor's options
    qemu_args: list = dataclasses.field(default_factory=list)
    boot: object = None          # function (image, initrd, cmdline) -> QEMU arguments, instead of the usual
    monitor: tuple = ()          # (a text in the command's output, what QEMU's monitor is told when it has come)
    interactive: bool = False
    token: str = ""              # the channel's, where somebody else has to know it; empty: one of this run


@dataclasses.dataclass
class Result:
    status: object               # the command's exit status; None if the machine ended or time ran out before it
    reason: str                  # exit, timeout, or why the machine ended: guest-shutdown, guest-reset, died ...
    console: str
    registers: list
    error: str = ""              # what the emulator said
    seconds: float = 0


def settle(o):
    """Fill in what was left open."""
    o.emulator = o.emulator or ("bochs" if o.vendor == "vmx" and o.accel == "tcg" else "qemu-10")
    o.lps = o.lps or (1 if o.emulator == "bochs" else 2)
    return o


def check(o):
    """Refuse what cannot work, before anything is started."""
    if o.vendor == "vmx" and o.emulator != "bochs" and not (o.accel == "kvm" and host_has("vmx")):
        raise LabError("--vendor vmx needs VT-x: --emulator bochs, or --accel kvm on an Intel host with nested virtualization "
                       "(QEMU does not emulate it)")
    if o.emulator == "bochs" and (o.accel == "kvm" or o.qemu_args or o.disks or o.link):
        raise LabError("--emulator bochs: it takes no --accel kvm, no --qemu-arg, no --disk and no --link")
    if o.icount and (o.accel == "kvm" or (o.lps > 1 and o.emulator == "qemu")):
        raise LabError("--icount counts what is emulated, and QEMU 7.2 can so for one LP: no --accel kvm, no --emulator qemu")
    if not 1 <= o.lps <= 255:
        raise LabError(f"--lps {o.lps}: from 1 to 255")
    if o.memory < 256:
        raise LabError(f"--memory {o.memory}: the root needs 256 MiB at least")


def host_has(flag):
    with open("/proc/cpuinfo") as file:
        return f" {flag} " in file.read().replace("\n", " ")


def boot_arguments(o, kernel, initrd):
    """What the machine's start() wants: QEMU's arguments, or the disk that Bochs boots."""
    own = bochs.CMDLINE if o.emulator == "bochs" else ""
    cmdline = " ".join(f"{ROOT_CMDLINE} {own} {o.append}".split())
    if o.boot:
        return o.boot(kernel.image, initrd, cmdline)
    if o.emulator == "bochs":
        disk = os.path.join(os.path.dirname(initrd), "disk")
        image.make(disk, "linux" if o.bare else 1, kernel.image, initrd, cmdline, o.hv_append, image.BIOS)
        return disk
    if o.bare:
        return linux_boot(kernel.image, initrd, cmdline)
    return multiboot(kernel.image, initrd, cmdline, o.hv_append)


def write_initrd(o, kernel, token, folder):
    path = os.path.join(folder, "initrd")
    with open(path, "wb") as file, open(initramfs.root_base(kernel), "rb") as base:
        file.write(base.read())
        file.write(initramfs.root_run(kernel, o.command, o.puts, [root for root, _ in o.gets], token, o.bare,
                                      o.interactive, o.emulator == "bochs"))
    return path


def run(o, sink, terminal=None, on_console=None):
    """Boot, run, end. sink gets the command's output; terminal (a tools/labkit/terminal.py) a person's keys."""
    settle(o)
    check(o)
    kernel = kernels.get(o.root_kernel)
    token = o.token or secrets.token_hex(8)
    machine = bochs.Bochs(o) if o.emulator == "bochs" else Qemu(o)
    try:
        machine.start(boot_arguments(o, kernel, write_initrd(o, kernel, token, machine.folder)))
        started = time.monotonic()
        channel = Channel(token, tell_monitor(machine, o.monitor, sink) if o.monitor else sink)
        reason = pump(machine, channel, lambda: started + o.timeout, terminal, on_console)
        registers = machine.ask_state() if reason == "timeout" else []
        machine.kill()
        save_files(o, channel)
        return Result(channel.status, reason, machine.console_text(), registers,
                      machine.complaints(), time.monotonic() - started)
    finally:
        machine.remove()


def tell_monitor(machine, monitor, sink):
    text, command = monitor
    seen = b""

    def take(data):
        nonlocal seen
        sink(data)
        if text.encode() not in seen:
            seen += data
            if text.encode() in seen:
                machine.qmp_send("human-monitor-command", **{"command-line": command})
    return take


def run_pair(pair, sinks):
    """Two machines at once, joined by a cable. Both results, in their order. They have one slot, since each waits for the other most of the time."""
    with tempfile.TemporaryDirectory(prefix="lab-link-") as folder, concurrent.futures.ThreadPoolExecutor(2) as pool, take_slot():
        ends = [os.path.join(folder, name) for name in ("first", "second")]
        for o, link in zip(pair, (ends, ends[::-1])):
            o.link, o.paired = tuple(link), True
        return list(pool.map(run, pair, sinks))


def pump(machine, channel, deadline, terminal, on_console):
    """Carry bytes until the run ends; why it ended. deadline() may change meanwhile."""
    selector = selectors.DefaultSelector()
    for name, stream in machine.streams.items():
        selector.register(stream, selectors.EVENT_READ, name)
    if terminal:
        selector.register(terminal.input, selectors.EVENT_READ, "keys")
    talking = None
    shown = 0
    with open(machine.console, "rb") as console:
        while channel.state != "end":
            if time.monotonic() > deadline():
                return "timeout"
            for key, _ in selector.select(0.1):
                if key.data == "keys":
                    if terminal.keys(talking or machine.streams[CHANNELS[0]], channel.state == "output"):
                        return "left"
                    continue
                data = receive(key.fileobj)
                if not data:
                    selector.unregister(key.fileobj)
                elif key.data not in CHANNELS:
                    machine.feed(key.data, data)
                else:
                    talking = talking or key.fileobj
                    channel.feed(data)
            if on_console:
                console.seek(shown)
                text = console.read()
                shown += len(text)
                if text:
                    on_console(text)
            machine.watch()
            if machine.process.poll() is not None and len(selector.get_map()) <= bool(terminal):
                machine.watch()
                return machine.reason or f"died, status {machine.process.returncode}"
    return "exit"


def receive(stream):
    try:
        return stream.recv(65536)
    except OSError:
        return b""


def save_files(o, channel):
    if o.gets and channel.files is None and channel.status is not None:
        raise LabError("--get: the machine has ended before its files had come")
    for (root, host), data in zip(o.gets, channel.files or []):
        if data is None:
            raise LabError(f"--get {root}: there is no such file in the root")
        with open(host, "wb") as file:
            file.write(data)
