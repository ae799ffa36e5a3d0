"""Does this host's KVM run our machine? Only a boot tells: the device may be there and not work, or not be nested."""
import os

from . import CACHE, lab


def works():
    """True if a root under KVM has nested virtualization. The answer is kept until the host is booted again."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    with open("/proc/sys/kernel/random/boot_id") as file:
        path = os.path.join(CACHE, f"kvm-{file.read().strip()}")
    if not os.path.exists(path):
        with open(path, "w") as file:
            file.write("yes" if probe() else "no")
    with open(path) as file:
        return file.read() == "yes"


def probe():
    command = ["sh", "-c", "grep -qw svm /proc/cpuinfo && modprobe kvm-amd && test -c /dev/kvm"]
    try:
        result = lab.run(lab.Options(command=command, bare=True, accel="kvm", timeout=15), lambda data: None)
    except lab.LabError:
        return False
    return result.status == 0
