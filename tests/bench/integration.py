"""make bench: what a guest's sockets and its dynamic memory cost, in instructions, and the worker's memory with all of that.

The same guest (Debian 6.1, 1 VP) with the same programs: ours with hv_sock and hv_balloon, and on QEMU of Debian 12 with KVM by vhost-vsock and
virtio-balloon, which reports free pages as hv_balloon does. Sockets are the guest's to a program of the root: behind the worker's UNIX socket, or AF_VSOCK.
The balloon is filled with memory that the guest's program has just let go, so nothing of it was reported free yet.
"""
import concurrent.futures
import os
import re

from labkit import BUILD, LabError, guest, kernels
import storage

PATTERNS = [("ping", "a byte and a byte back"), ("up", "a MiB sent"), ("down", "a MiB received")]
MIB = 256            # that the guest gives and has again
RAM = 512
MEMORY = [("taken", f"{MIB} MiB, taken"), ("given", f"{MIB} MiB, given back"), ("used", f"{MIB} MiB, used again")]
DRIVERS = ["hv_vmbus", "hv_sock", "hv_balloon", "hv_utils", "hv_netvsc", "hv_storvsc", "sd_mod", "virtio_pci", "virtio_balloon",
           "vmw_vsock_virtio_transport"]
COMMAND = f"""
    echo 0 >/sys/module/hv_balloon/parameters/pressure_report_delay
    flows client vsock {' '.join(name for name, _ in PATTERNS)} || exit 1
    echo "guest: ready"
    while read -r mib; do
        balloon use $mib
        echo "guest: $mib used"
    done"""
# HOW says whom to ask.
ROUND = """
    seen() { until [ $(grep -c "$1" out) -ge $2 ]; do kill -0 $guest || { cat out; exit 1; }; usleep 300000; done; }
    seen "guest: ready" 1
    sleep 5
    for round in 1 2; do
        echo MIB >&3; seen "guest: MIB used" $round
        ./balloon HOW LESS
        ./balloon HOW ALL
    done
    echo MIB >&3; seen "guest: MIB used" 3
""".replace("MIB", str(MIB)).replace("LESS", str(RAM - MIB)).replace("ALL", str(RAM))
TIMEOUT = 1800
TOOLS = os.path.join(BUILD, "tests", "bench")


def parse(text):
    """Instructions by pattern, the slope between two counts; and of the second round of the memory, when the first has warmed everything."""
    found, counts = {}, {}
    for name, count, ticks in re.findall(r"^flows: (\w+) (\d+) (\d+)$", text, re.M):
        counts.setdefault(name, []).append((int(count), int(ticks)))
    resized = [int(ticks) for ticks in re.findall(r"^balloon: \d+ (\d+)$", text, re.M)]
    used = [int(ticks) for ticks in re.findall(r"^balloon: used \d+ (\d+)$", text, re.M)]
    if set(counts) != {name for name, _ in PATTERNS} or any(len(three) != 3 for three in counts.values()) or (len(resized), len(used)) != (4, 3):
        raise LabError(f"the guest did not measure everything:\n{text}")
    for name, (_, (few, short), (many, long)) in counts.items():
        found[name] = (long - short) / (many - few)
    return {**found, "taken": resized[2], "given": resized[3], "used": used[2]}


def puts():
    programs = [os.path.join(TOOLS, name) for name in ("flows", "balloon")]
    initrd = guest.initrd("bench-integration", COMMAND, kernels.get("6.1"), DRIVERS, programs=programs)
    return [*guest.puts("6.1", initrd), *((path, f"/root/{os.path.basename(path)}") for path in programs)]


def ours(root):
    worker = guest.worker(memory=f"{RAM}M", vps=1, append="mitigations=off",
                          more=["--memory-minimum", f"{RAM - MIB}M", "--memory-maximum", "1G", "--vsock", "/root/box", "--control", "/root/control",
                                "--disk", "/root/disk.vhdx", "--net", "lan"])
    text = root(f"""
        vswitchd --control /run/vswitchd.control --ports /run/vswitchd.ports &
        until [ -S /run/vswitchd.ports ]; do usleep 100000; done
        vswitch create lan || exit 1
        vhd new disk.vhdx --size 64M || exit 1
        mkfifo keys
        ./flows server unix:/root/box_9000 &
        {guest.shell(worker)} <keys >out 2>&1 & guest=$!
        exec 3>keys
        {ROUND.replace("HOW", "control control")}
        awk '/^[0-9a-f]+-/ {{ ram = /memfd:/ }} /^Rss:/ && !ram {{ kib += $2 }} /^Anonymous:/ && !ram {{ own += $2 }}
            END {{ print "worker: " kib " " own }}' /proc/$guest/smaps
        cat out""", timeout=TIMEOUT, puts=[
            *puts(), (os.path.join(BUILD, "switch", "vswitchd"), "/usr/bin/vswitchd"), (os.path.join(BUILD, "cli", "vswitch"), "/usr/bin/vswitch"),
            (os.path.join(BUILD, "disk", "vhd"), "/usr/bin/vhd")])
    worker = re.search(r"^worker: (\d+) (\d+)$", text, re.M)
    if not worker:
        raise LabError(f"the worker's memory was not seen:\n{text}")
    return {**parse(text), "resident": int(worker[1]), "own": int(worker[2])}


def peer(root):
    command = [*storage.QEMU, "-kernel", "/root/vmlinuz", "-initrd", "/root/initrd", "-append", f"{guest.CMDLINE} mitigations=off",
               "-device", "vhost-vsock-pci,guest-cid=3", "-device", "virtio-balloon-pci,free-page-reporting=on",
               "-qmp", "unix:/root/qmp,server=on,wait=off"]
    command[command.index("-m") + 1] = str(RAM)
    return parse(root(f"""
        modprobe kvm-amd && modprobe vhost_vsock || exit 1
        mkfifo keys
        ./flows server vsock &
        {guest.shell(command)} <keys >out 2>&1 & guest=$!
        exec 3>keys
        {ROUND.replace("HOW", "qmp qmp")}
        cat out""", bare=True, timeout=TIMEOUT, puts=[*puts(), *storage.firmware(), storage.program_of_root("qemu-system-x86_64", "qemu-system-x86")]))


def measure(root):
    """root(command, **options) runs a command in the root, counted, and gives its output."""
    with concurrent.futures.ThreadPoolExecutor(2) as machines:
        mine, other = (machine.result() for machine in [machines.submit(ours, root), machines.submit(peer, root)])
    print("a guest's sockets and memory: instructions for one")
    print(f"{'':32}{'ours':>16}{'KVM':>16}{'ours / KVM':>12}")
    for name, title in [(name, f"vsock, {title}") for name, title in PATTERNS] + MEMORY:
        a, b = mine[name], other[name]
        print(f"{title:32}{a:16,.0f}{b:16,.0f}{a / b:12.3f}")
    for name, title in PATTERNS[1:]:
        a, b = ((1 << 20) / figures[name] for figures in (mine, other))
        print(f"{f'vsock, bytes per instruction, {name}':32}{a:16.3f}{b:16.3f}{a / b:12.3f}")
    print(f"{'worker beyond guest RAM, KiB':32}{mine['resident']:16,}")
    print(f"{'of it the worker alone, KiB':32}{mine['own']:16,}")
