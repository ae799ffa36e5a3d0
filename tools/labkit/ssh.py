"""Debian 12's ssh server for a guest, on a file system of programs.disk(), and a key for who logs in there. The server is unpacked, never installed."""
import os
import subprocess

from . import LabError
from .debian import program
from .kernels import unpacked

CONFIG = """HostKey /etc/ssh/host
PermitRootLogin yes
AuthorizedKeysFile /etc/ssh/authorized
StrictModes no
UsePAM no
"""
PASSWD = "root:x:0:0::/:/bin/sh\nsshd:x:100:100::/run/sshd:/bin/false\n"


def server():
    return os.path.join(unpacked("sshd", ["openssh-server"]), "usr/sbin/sshd")


def client():
    return program("ssh", "openssh-client")


def make_key(path):
    done = subprocess.run([program("ssh-keygen", "openssh-client"), "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path], capture_output=True, text=True)
    if done.returncode:
        raise LabError(f"ssh-keygen failed: {done.stderr.strip()}")


def settings(tree, key):
    """What the server needs in its file system, where who has the key may log in as root."""
    os.makedirs(f"{tree}/etc/ssh", exist_ok=True)
    make_key(f"{tree}/etc/ssh/host")
    for name, text in (("etc/ssh/sshd_config", CONFIG), ("etc/passwd", PASSWD)):
        with open(f"{tree}/{name}", "w", encoding="ascii") as file:
            file.write(text)
    with open(f"{key}.pub", "rb") as public, open(f"{tree}/etc/ssh/authorized", "wb") as file:
        file.write(public.read())
