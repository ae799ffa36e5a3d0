"""The emulated machine: its command line, its process, and the end of it."""
import ctypes
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from . import BUILD, CACHE, LabError, emulator

PR_SET_PDEATHSIG = 1


def die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def module_string(path, arguments=""):
    """One module of QEMU's -initrd: a comma separates modules, a doubled one is a comma."""
    return f"{path} {arguments}".strip().replace(",", ",,")


SLOTS = 2


def take_slot():
    """Wait until fewer than SLOTS machines run here: more of them would only make each other miss deadlines."""
    while True:
        for i in range(SLOTS):
            slot = open(os.path.join(CACHE, f"slot-{i}"), "w")
            try:
                fcntl.flock(slot, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return slot
            except OSError:
                slot.close()
        time.sleep(0.2)


class Machine:
    """One run of QEMU. Sockets are ours to listen on before it starts, so nothing that it sends is lost."""

    def __init__(self, options):
        self.options = options
        self.slot = None
        self.folder = tempfile.mkdtemp(prefix="lab-")
        self.console = os.path.join(self.folder, "console")
        open(self.console, "wb").close()
        self.process = None
        self.reason = None
        self.listeners = {name: self.listen(name) for name in ("port", "com2", "qmp")}
        self.streams = {}
        self.qmp_buffer = b""

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
                "-machine", "q35,vmport=off", *self.processor(), "-smp", str(o.lps), "-m", f"{o.memory}M",
                "-chardev", f"file,id=console,path={self.console}", *sockets,
                "-serial", "chardev:console", "-serial", "chardev:com2", "-mon", "chardev=qmp,mode=control",
                "-device", "virtio-serial-pci", "-device", port, *boot, *o.qemu_args]

    def processor(self):
        o = self.options
        if o.accel == "kvm":
            return ["-accel", "kvm", "-cpu", "host"]
        if o.icount:
            return ["-accel", "tcg", "-cpu", o.cpu, "-icount", "shift=0,sleep=off", "-seed", "42",
                    "-rtc", "base=2024-01-01T00:00:00,clock=vm"]
        return ["-accel", "tcg,thread=multi", "-cpu", o.cpu]

    def start(self, boot):
        self.slot = take_slot()
        self.process = subprocess.Popen(self.command(boot), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                        start_new_session=True, preexec_fn=die_with_parent)
        for name, listener in self.listeners.items():
            listener.settimeout(20)
            try:
                self.streams[name] = listener.accept()[0]
            except socket.timeout:
                self.kill()
                raise LabError(f"QEMU did not start: {self.complaints()}") from None
            listener.close()
        self.qmp_send("qmp_capabilities")

    def qmp_send(self, name, **arguments):
        try:
            self.streams["qmp"].sendall(json.dumps({"execute": name, "arguments": arguments}).encode() + b"\n")
        except OSError:
            pass

    def qmp_feed(self, data):
        """The answers of the machine's monitor; the one that matters is why it ended."""
        self.qmp_buffer += data
        *lines, self.qmp_buffer = self.qmp_buffer.split(b"\n")
        for line in lines:
            message = json.loads(line or b"{}")
            if message.get("event") == "SHUTDOWN":
                self.reason = message["data"].get("reason")
            if isinstance(message.get("return"), str):
                self.registers = message["return"]

    def ask_registers(self):
        """Where the processors are, for the report on a machine that hangs."""
        self.registers = ""
        stream = self.streams["qmp"]
        stream.settimeout(5)
        self.qmp_send("human-monitor-command", **{"command-line": "info registers -a"})
        try:
            while not self.registers:
                data = stream.recv(65536)
                if not data:
                    break
                self.qmp_feed(data)
        except OSError:
            pass
        wanted = ("CPU#", "RIP=", "EIP=", "CR0=")
        return [line for line in self.registers.splitlines() if line.startswith(wanted)]

    def complaints(self):
        """What the emulator said, without what it says of every machine with a processor model of AMD's."""
        lines = self.process.stderr.read().decode(errors="replace").splitlines()
        return "\n".join(line for line in lines if "TCG doesn't support requested feature" not in line)

    def console_text(self):
        with open(self.console, "rb") as file:
            return file.read().decode(errors="replace").replace("\r", "")

    def kill(self):
        if self.process and self.process.poll() is None:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.process.wait()
        if self.slot:
            self.slot.close()

    def remove(self):
        self.kill()
        for stream in [*self.streams.values(), *self.listeners.values()]:
            stream.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def firmware_boot(disk):
    """A machine that starts from a disk image by its firmware, with no help from the emulator."""
    return ["-drive", f"if=none,id=boot,format=raw,file={disk}", "-device", "ide-hd,drive=boot,bootindex=0"]


def linux_boot(image, initrd, cmdline):
    return ["-kernel", image, "-initrd", initrd, "-append", cmdline]


def hypervisor_images():
    """The loader and the hypervisor's images, as built."""
    loader = os.path.join(BUILD, "loader", "hvloader.elf")
    images = [os.path.join(BUILD, "hypervisor", f"hv-{vendor}.elf") for vendor in ("svm", "vmx")]
    images = [image for image in images if os.path.exists(image)]
    if not os.path.exists(loader) or not images:
        raise LabError("the hypervisor is not built: run make, or use --bare")
    return loader, images


def multiboot(image, initrd, cmdline, options):
    loader, images = hypervisor_images()
    modules = [module_string(path) for path in images]
    modules += [module_string(image, cmdline), module_string(initrd)]
    return ["-kernel", loader, "-initrd", ",".join(modules), "-append", options]
