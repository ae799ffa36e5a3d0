"""A capture of frames, looked at by tshark. The payload is bytes, whatever protocol has its port."""
import subprocess

WRONG = "_ws.malformed || ip.checksum.status == 0 || tcp.checksum.status == 0 || udp.checksum.status == 0"
WORDS = ["-d", "tcp.port==0-65535,data", "-d", "udp.port==0-65535,data", "-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE",
         "-o", "udp.check_checksum:TRUE"]


def show(path, wanted):
    return subprocess.run(["tshark", "-r", path, *WORDS, "-Y", wanted], capture_output=True, text=True, check=True).stdout


def complaints(path):
    """Lines of what is wrong: bad checksums, malformed frames."""
    return show(path, WRONG)


def frames(path, wanted):
    """A line for each that tshark's filter lets pass."""
    return show(path, wanted).splitlines()
