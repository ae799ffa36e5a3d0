"""Debian's tpm2-tools, to whom the log of a boot is given: what a TPM's registers are after all that is in it. They are unpacked, never installed."""
import os
import re
import subprocess

from . import LabError
from .kernels import unpacked

PACKAGES = ["tpm2-tools", "libtss2-esys-3.0.2-0", "libtss2-mu0", "libtss2-rc0", "libtss2-sys1", "libtss2-tctildr0"]


def replay(log, bank="sha256"):
    """The registers of the bank, by number, as text."""
    folder = unpacked("tpm2-tools", PACKAGES)
    done = subprocess.run([f"{folder}/usr/bin/tpm2", "eventlog", log], capture_output=True, text=True,
                          env={**os.environ, "LD_LIBRARY_PATH": f"{folder}/usr/lib/x86_64-linux-gnu"})
    if done.returncode:
        raise LabError(f"tpm2 eventlog failed: {done.stderr.strip().splitlines()[-1:]}")
    registers = done.stdout.partition("\npcrs:\n")[2]
    of_bank = re.search(rf"^  {bank}:\n((?:    [^\n]*\n)*)", registers, re.M)
    return {int(number): value.lower() for number, value in re.findall(r"(\d+)\s*: 0x([0-9a-fA-F]+)", of_bank.group(1) if of_bank else "")}
