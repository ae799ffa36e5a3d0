"""Bochs as the machine: VMX, and an SVM that honours ASIDs. It starts from a CD's image that GRUB boots.

It has no monitor, so how a machine ended is read from its log. What it draws goes to a terminal that nobody looks at; its standard
input is none, as with a terminal there idle time would be real time.
"""
import os
import pty
import re
import signal
import socket
import time

from . import emulator
from .machine import Machine

MODELS = {"vmx": "corei7_skylake_x", "svm": "ryzen"}

# Instructions to a second of the machine's time: the TSC's frequency. Low, for time is what the machine waits for: its serial
# ports, delays of drivers. The kernel's clock then ticks each 100,000 instructions.
FREQUENCY = 25_000_000

# What the root's kernel is told here. The TSC's frequency that the model's CPUID gives is the real processor's, which this machine has not.
CMDLINE = f"tsc_early_khz={FREQUENCY // 1000}"

CONFIG = """\
cpu: model={model}, count={lps}, ips={frequency}, reset_on_triple_fault=0
memory: guest={memory}, host={memory}
romimage: file={share}/bochs/BIOS-bochs-latest
vgaromimage: file={share}/vgabios/vgabios.bin
ata0-master: type=cdrom, path={disk}, status=inserted
boot: cdrom
display_library: term
config_interface: textconfig
sound: waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy
com1: enabled=1, mode=file, dev={console}
com2: enabled=1, mode=socket-client, dev=127.0.0.1:{port}
clock: sync=none, time0=1700000000
panic: action=fatal
log: {log}
"""


POWER_OFF, RESET = "guest-shutdown", "guest-reset"


def ending(log):
    """How the machine ended, by Bochs's log; None: it has not. (The first reset is the power switch.)"""
    if "ACPI control: soft power off" in log:
        return POWER_OFF
    if "exception with no resolution" in log or log.count("system_c::Reset(") > 1:
        return RESET
    return None


def serious(line):
    """A line of the log that may say what went wrong. Linux tries many MSRs that are not there, and not every exit is a fault."""
    return re.match(r"\d+[ep]\[", line) and not re.search("(RD|WR)MSR: Unknown register|VMEXIT: EPT violation", line)


def registers(log):
    return re.findall(r"\[(CPU\d.*(?:CPU is|CS.mode|\| [ER]IP=|\| CR[0234]=|>>).*)", log.split(">>PANIC<<")[-1])


class Screen:
    """The end of the pseudoterminal that is ours, with the face of a socket."""

    def __init__(self, descriptor):
        self.descriptor = descriptor

    def fileno(self):
        return self.descriptor

    def recv(self, size):
        return os.read(self.descriptor, size)

    def close(self):
        os.close(self.descriptor)


class Bochs(Machine):
    def __init__(self, options):
        super().__init__(options)
        self.listeners = {"com2": socket.create_server(("127.0.0.1", 0))}
        self.log = os.path.join(self.folder, "log")

    def start(self, disk):
        o = self.options
        folder = emulator.bochs()
        config = os.path.join(self.folder, "config")
        with open(config, "w") as file:
            file.write(CONFIG.format(model=o.cpu or MODELS[o.vendor], lps=o.lps, frequency=FREQUENCY, memory=o.memory,
                                     share=f"{folder}/usr/share", disk=disk, console=self.console, log=self.log,
                                     port=self.listeners["com2"].getsockname()[1]))
        ours, its = pty.openpty()
        libraries = f"{folder}/usr/lib/x86_64-linux-gnu"
        environment = {"LTDL_LIBRARY_PATH": f"{libraries}/bochs/plugins", "BXSHARE": f"{folder}/usr/share/bochs", "TERM": "vt100"}
        try:
            self.streams["screen"] = Screen(ours)
            self.launch([f"{libraries}/ld-linux-x86-64.so.2", "--library-path", libraries, f"{folder}/usr/bin/bochs-bin",
                         "-q", "-f", config], stdout=its, env=environment)
        finally:
            os.close(its)

    def feed(self, name, data):
        """What is on the screen interests nobody."""

    def log_text(self):
        try:
            with open(self.log, "rb") as file:
                return file.read().decode(errors="replace")
        except FileNotFoundError:
            return ""

    def watch(self):
        """Bochs starts its machine anew after a reset; the lab's has then ended."""
        self.reason = self.reason or ending(self.log_text())
        if self.reason and self.reason != POWER_OFF:
            self.process.kill()

    def ask_registers(self):
        """Where the processors are: Bochs says it when its terminal goes away, and ends."""
        before = len(self.log_text())
        self.process.send_signal(signal.SIGHUP)
        until = time.monotonic() + 10
        while self.process.poll() is None and time.monotonic() < until:
            time.sleep(0.1)
        return registers(self.log_text()[before:])

    def ask_state(self):
        """Of the hypervisor nothing: Bochs gives RAM to the machine in blocks, in the order of their first use."""
        return self.ask_registers()

    def complaints(self):
        """Bochs's last errors, the registers if it stopped by one, and what it said before it had a log."""
        log = self.log_text()
        early = [line for line in self.process.stderr.read().decode(errors="replace").splitlines() if serious(line)]
        lines = [line for line in log.splitlines() if serious(line)]
        return "\n".join(early + lines[-8:] + (registers(log) if self.reason == RESET else []))
