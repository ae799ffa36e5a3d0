"""What every emulated machine has: a slot on this host, a folder, a process, streams, and an end."""
import ctypes
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from . import BUILD, CACHE, LabError

PR_SET_PDEATHSIG = 1
PR_SET_THP_DISABLE = 41


def die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def emulator_process():
    """What the process of an emulator is told. It asks for huge pages for its machine's memory; here and there a page of each is used
    in a short life, and an eighth of its processor time would be the clearing of the rest."""
    die_with_parent()
    ctypes.CDLL(None).prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0)


SLOTS = 2
START_SECONDS = 60


def take_slot():
    """Wait until fewer than SLOTS machines run here: more of them would only make each other miss deadlines. First come, first
    served, or a run of many machines would keep the others waiting for its end."""
    with open(os.path.join(CACHE, "turn"), "w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        while True:
            for i in range(SLOTS):
                slot = open(os.path.join(CACHE, f"slot-{i}"), "w")
                try:
                    fcntl.flock(slot, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return slot
                except OSError:
                    slot.close()
            time.sleep(0.05)


class Machine:
    """One run of an emulator. Its sockets are ours to listen on before it starts, so nothing that it sends is lost."""

    def __init__(self, options):
        self.options = options
        self.slot = None
        self.folder = tempfile.mkdtemp(prefix="lab-")
        self.console = os.path.join(self.folder, "console")
        open(self.console, "wb").close()
        self.process = None
        self.reason = None        # why the machine ended, once that is known
        self.listeners = {}
        self.streams = {}         # what of the machine can be read, by name

    def launch(self, command, **options):
        self.slot = None if self.options.paired else take_slot()
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                        start_new_session=True, preexec_fn=emulator_process, **options)
        for name, listener in self.listeners.items():
            listener.settimeout(START_SECONDS)
            try:
                self.streams[name] = listener.accept()[0]
            except socket.timeout:
                self.kill()
                raise LabError(f"{command[0]} did not start: {self.complaints()}") from None
            listener.close()

    def watch(self):
        """Called now and then, and at the end: an emulator that does not say why its machine ended is looked at."""

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


def hypervisor_images():
    """The loader and the hypervisor's images, as built."""
    loader = os.path.join(BUILD, "loader", "hvloader.elf")
    images = [os.path.join(BUILD, "hypervisor", f"hv-{vendor}.elf") for vendor in ("svm", "vmx")]
    images = [image for image in images if os.path.exists(image)]
    if not os.path.exists(loader) or not images:
        raise LabError("the hypervisor is not built: run make, or use --bare")
    return loader, images
