"""What a system test is, and what it may use: the machine of tools/lab, and checks that say what they saw."""
import dataclasses
import os
import re
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "..", "tools"), os.path.join(HERE, "..")]
from labkit import BUILD, LabError, TOP, guest, kernels, lab  # noqa: E402,F401
from outcomes import SECOND_TRIES, again, closing  # noqa: E402,F401

TESTS = []

# What no kernel's log may have. A WARN prints a "Call Trace" as well.
TROUBLE = ("Call Trace", "BUG:", "Oops", "unchecked MSR access", "soft lockup", "hung task", "Kernel panic", "irq .*: nobody cared")


# A user without rights, who may use what lies in /root.
NOBODY = "chmod 600 /dev/mshv; chmod 755 /root; echo nobody:x:99:99::/:/bin/sh >>/etc/passwd"
VHD = (os.path.join(BUILD, "disk", "vhd"), "/usr/bin/vhd")  # to carry into the root


# QEMU's words for a machine with an IOMMU.
IOMMU = {"VT-d": ["-machine", "kernel-irqchip=split", "-device", "intel-iommu"],
         "AMD-Vi": ["-device", "amd-iommu,pt=off,intremap=on"]}

# In the root: a device is taken from its driver, and given back, as users of VFIO do it.
VFIO = """
    modprobe vfio_iommu_type1; modprobe vfio_pci
    places() { # of this class, or of this device's number
        for path in $(grep -l "^$1" /sys/bus/pci/devices/*/class /sys/bus/pci/devices/*/device); do basename $(dirname $path); done
    }
    give() { # PLACE DRIVER, or none for its own
        echo "$2" >/sys/bus/pci/devices/$1/driver_override
        [ ! -e /sys/bus/pci/devices/$1/driver ] || echo $1 >/sys/bus/pci/devices/$1/driver/unbind
        echo $1 >/sys/bus/pci/drivers_probe
    }
    wait_for() { # as test has it, -b PATH
        n=0; while ! [ $1 $2 ] && [ $n -lt 300 ]; do usleep 100000; n=$((n + 1)); done
        [ $1 $2 ]
    }"""


class Failed(Exception):
    pass


class Skipped(Exception):
    pass


@dataclasses.dataclass
class Test:
    name: str
    deadline: float              # seconds that each of its machines may take; for a busy host, so never near the usual
    function: object
    bare: bool
    soak: bool = False           # takes long or much: `make soak` alone
    early: bool = False          # takes so long that it begins before the others, so that nobody waits for it at the end
    twin: object = None          # the same test without the hypervisor: when both fail, the test or the emulator is at fault


def test(name, deadline=300, bare=None, soak=False, early=False):
    """Register a test. bare None: it needs the hypervisor; "both": it has a twin without, which runs where the test has failed, and in
    `make soak`."""
    def register(function):
        twin = Test(f"{name} (bare)", deadline, function, True, True) if bare == "both" else None
        TESTS.append(Test(name, deadline, function, False, soak, early, twin))
        if twin:
            TESTS.append(twin)
        return function
    return register


def tally(names, outcomes):
    """How often each test of a repeated run passed."""
    return [f"{sum(n == name and o == 'pass' for n, o in zip(names, outcomes))} of {names.count(name)}  {name}"
            for name in dict.fromkeys(names)]


class Context:
    """One test as it runs."""

    def __init__(self, test_):
        self.bare = test_.bare
        self.deadline = test_.deadline
        self.runs = []
        self.folder = tempfile.TemporaryDirectory(prefix="vd-test-")

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def root(self, command, ends=None, status=0, late=None, **options):
        """Run a shell command in the root; its output. ends: how the machine ends instead, e.g. guest-shutdown. late: a text in the
        output with which the machine's time is over."""
        output = []
        o = self.options(command, options)

        def take(data):
            output.append(data)
            if late and late.encode() in b"".join(output):
                o.timeout = 0

        text = self.keep(lab.run(o, take), output)
        result = self.runs[-1][0]
        if ends:
            self.check(result.reason == ends, f"the machine should end by {ends}, and ended by {result.reason}")
        elif result.reason != "exit":
            raise Failed(f"the machine did not last: {result.reason}")
        elif status is not None:
            self.check(result.status == status, f"the command's status is {result.status}, not {status}")
        return text

    def options(self, command, options):
        options.setdefault("bare", self.bare)
        return lab.Options(command=["sh", "-c", command], timeout=self.deadline, **options)

    def keep(self, result, output):
        text = b"".join(output).decode(errors="replace").replace("\r", "")
        self.runs.append((result, text))
        return text

    def roots(self, commands, **options):
        """A shell command in each of two roots, whose machines have a cable between their eth0; the outputs."""
        outputs = [[], []]
        results = lab.run_pair([self.options(command, dict(options)) for command in commands], [output.append for output in outputs])
        texts = [self.keep(result, output) for result, output in zip(results, outputs)]
        for name, result in zip(("first", "second"), results):
            self.check(result.reason == "exit" and result.status == 0, f"the {name} machine: {result.reason}, the command's status {result.status}")
        return texts

    @property
    def console(self):
        return self.runs[-1][0].console

    def check(self, good, text):
        if not good:
            raise Failed(text)

    def same(self, what, seen, wanted):
        self.check(seen == wanted, f"{what}: {seen!r}, should be {wanted!r}")

    def calm(self, text, whose="guest", trouble=TROUBLE):
        """A kernel's log has no trouble; what it has is shown with the lines around it."""
        lines = text.splitlines()
        for word in trouble:
            at = next((i for i, line in enumerate(lines) if re.search(word, line)), None)
            self.check(at is None, f"the {whose}'s log has {word!r}:\n" + "\n".join(lines[max(at or 0, 8) - 8:(at or 0) + 30]))

    def has(self, text, wanted):
        self.check(wanted in text, f"no {wanted!r} in the output")


def random_file(path, size):
    with open(path, "wb") as file:
        file.write(os.urandom(size))
    return path
