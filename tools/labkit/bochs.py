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

# What kernels are told here. The TSC's frequency that the model's CPUID gives is the real processor's, which this machine has not.
# Half of all instructions of a boot are the self-tests of the kernel's ciphers.
KERNEL_WORDS = "cryptomgr.notests"
CMDLINE = f"tsc_early_khz={FREQUENCY // 1000} {KERNEL_WORDS}"

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
        """Bochs starts its machine anew after a reset; the lab's has then ended. (The first reset is the power switch.)"""
        log = self.log_text()
        if "ACPI control: soft power off" in log:
            self.reason = "guest-shutdown"
        elif "exception with no resolution" in log or log.count("Reset(HARDWARE)") > 1:
            self.reason = "guest-reset"
            self.process.kill()

    def ask_registers(self):
        """Where the processors are: Bochs says it when it is interrupted."""
        before = len(self.log_text())
        self.process.send_signal(signal.SIGINT)
        until = time.monotonic() + 10
        while self.process.poll() is None and time.monotonic() < until:
            time.sleep(0.1)
        return re.findall(r"\| [ER]IP=.*|CPU\d.*(?:mode|halted).*", self.log_text()[before:])

    def complaints(self):
        lines = self.process.stderr.read().decode(errors="replace").splitlines() if self.process else []
        return "\n".join(lines + re.findall(r"^\d+[pe]\[.*\] (?:>>PANIC<< )?.*", self.log_text(), re.M)[-5:])
