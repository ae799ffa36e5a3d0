"""What tools/lab, tools/run, the system tests and the benchmarks share: kernels, initramfs, machine, channel."""
import os

TOP = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
BUILD = os.path.join(TOP, "build")
CACHE = os.path.join(BUILD, "cache")


class LabError(Exception):
    """Something that the user can mend; its text is one line that names the thing and the remedy."""
