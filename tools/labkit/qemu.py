"""QEMU as the machine: its command line, and what its monitor says."""
import hashlib
import json
import os
import re
import socket

from . import core, emulator
from .machine import Machine, hypervisor_images

# x2APIC: a write to an APIC's page can be lost (docs/emulators.md, "A write to a device that goes elsewhere").
PROCESSOR = "EPYC,+x2apic"


def module_string(path, arguments=""):
    """One module of QEMU's -initrd: a comma separates modules, a doubled one is a comma."""
    return f"{path} {arguments}".strip().replace(",", ",,")


class Qemu(Machine):
    def __init__(self, options):
        super().__init__(options)
        self.listeners = {name: self.listen(name) for name in ("port", "com2", "qmp")}
        self.qmp_buffer = b""
        self.answer = ""

    def listen(self, name):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(os.path.join(self.folder, name))
        listener.listen(1)
        return listener

    def command(self, boot):
        o = self.options
        port = "virtconsole,chardev=port" if o.interactive else "virtserialport,nr=1,chardev=port,name=lab"
        sockets = [word for name in ("port", "com2", "qmp")
                   for word in ("-chardev", f"socket,id={name},path={self.folder}/{name}")]
        return [*emulator.command(o.emulator), "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
                "-machine", o.machine, *self.processor(), "-smp", str(o.lps), "-m", f"{o.memory}M",
                "-chardev", f"file,id=console,path={self.console}", *sockets,
                "-serial", "chardev:console", "-serial", "chardev:com2", "-mon", "chardev=qmp,mode=control",
                "-device", "virtio-serial-pci", "-device", port, *self.disks(), *self.link(), *boot, *o.qemu_args]

    def disks(self):
        words = []
        for i, path in enumerate(self.options.disks):
            words += ["-drive", f"if=none,id=disk{i},format=raw,snapshot=on,cache=unsafe,file={path.replace(',', ',,')}",
                      "-device", f"virtio-blk-pci,drive=disk{i}"]
        return words

    def link(self):
        """A network card; its cable has the other machine at its end. Frames to one that is not there are lost."""
        if not self.options.link:
            return []
        own, peer = self.options.link
        address = "52:54:00:%02x:%02x:%02x" % tuple(hashlib.sha256(own.encode()).digest()[:3])
        return ["-netdev", f"dgram,id=link,local.type=unix,local.path={own},remote.type=unix,remote.path={peer}",
                "-device", f"virtio-net-pci,netdev=link,mac={address}"]

    def processor(self):
        o = self.options
        if o.accel == "kvm":
            return ["-accel", "kvm", "-cpu", "host"]
        if o.icount:
            return ["-accel", "tcg", "-cpu", o.cpu or PROCESSOR, "-icount", "shift=0,sleep=off", "-seed", "42",
                    "-rtc", "base=2024-01-01T00:00:00,clock=vm"]
        return ["-accel", "tcg,thread=multi", "-cpu", o.cpu or PROCESSOR]

    def start(self, boot):
        self.launch(self.command(boot))
        self.qmp_send("qmp_capabilities")

    def qmp_send(self, name, **arguments):
        try:
            self.streams["qmp"].sendall(json.dumps({"execute": name, "arguments": arguments}).encode() + b"\n")
        except OSError:
            pass

    def feed(self, name, data):
        """The answers of the machine's monitor; the one that matters is why it ended."""
        self.qmp_buffer += data
        *lines, self.qmp_buffer = self.qmp_buffer.split(b"\n")
        for line in lines:
            message = json.loads(line or b"{}")
            if message.get("event") == "SHUTDOWN":
                self.reason = message["data"].get("reason")
            if isinstance(message.get("return"), str):
                self.answer = message["return"]

    def ask(self, command):
        """The lines that the monitor answers; none when it does not."""
        self.answer = ""
        stream = self.streams["qmp"]
        stream.settimeout(5)
        self.qmp_send("human-monitor-command", **{"command-line": command})
        try:
            while not self.answer:
                data = stream.recv(65536)
                if not data:
                    break
                self.feed("qmp", data)
        except OSError:
            pass
        return self.answer.splitlines()

    def ask_state(self):
        """Where the processors of a machine that hangs are, and what its hypervisor is doing."""
        o = self.options
        everything = core.parse_registers(self.ask("info registers -a"))
        return self.ask_registers() + ([] if o.bare else core.report(self.process.pid, self.folder, o.memory << 20, everything))

    def ask_registers(self):
        """Where the processors are and which interrupts wait for them, for the report on a machine that hangs."""
        lines = [line for line in self.ask("info registers -a") if line.startswith(("CPU#", "RIP=", "EIP=", "CR0="))]
        for lp in range(self.options.lps):
            lines += [line.strip() for line in self.ask(f"info lapic {lp}")
                      if re.match(r"dumping|LVTT|Timer|ICR\s|ISR|IRR|APR|\s+(ISR|IRR)", line)]
        return lines

    def complaints(self):
        """What the emulator said, without what it says of every machine with a processor model of AMD's."""
        lines = self.process.stderr.read().decode(errors="replace").splitlines()
        return "\n".join(line for line in lines if "TCG doesn't support requested feature" not in line)


def linux_boot(image, initrd, cmdline):
    return ["-kernel", image, "-initrd", initrd, "-append", cmdline]


def multiboot(image, initrd, cmdline, options):
    loader, images = hypervisor_images()
    modules = [module_string(path) for path in images]
    modules += [module_string(image, cmdline), module_string(initrd)]
    return ["-kernel", loader, "-initrd", ",".join(modules), "-append", options]
