"""make bench: what a guest's network costs, from its program to the other's, in instructions.

Two guests of Debian 6.1, one VP each, for the last row four with a queue each, with the same program: ours on the virtual switch by
hv_netvsc, and on QEMU of Debian 12 with KVM by virtio-net, vhost and a Linux bridge. The client's counter counts all that the machine does: both guests, root, hypervisor.
The server is the other guest, or a program of the root behind the switch's internal port, or the bridge.
"""
import concurrent.futures
import os
import re

from labkit import BUILD, LabError, guest, kernels
import storage

# By the VPs of the guests, what is measured between them.
ROWS = {
    1: [("udp64", "UDP packet, 64 bytes"), ("udp1514", "UDP packet, 1,514 bytes"), ("ping", "TCP, a byte and a byte back"),
        ("up", "TCP, a MiB sent"), ("down", "TCP, a MiB received")],
    4: [("streams", "TCP, a MiB of 4 streams on 4 queues")],
}
SERVERS = [("guest", "to a guest"), ("root", "to the root")]
DRIVERS = ["hv_netvsc", "virtio_pci", "virtio_net"]
# me=1 is the server, me=2 the client. The root is 10.9.0.254.
COMMAND = """
    for word in $(cat /proc/cmdline); do case $word in me=*) me=${word#me=};; esac; done
    until [ -e /sys/class/net/eth0 ]; do usleep 100000; done
    ip link set lo up
    ip addr add 10.9.0.$me/24 dev eth0
    ip link set eth0 up
    until ping -c 1 -w 1 10.9.0.254 >/dev/null; do :; done
    if [ $me = 1 ]; then
        flows server &
        until nc -l -p 9001 >/dev/null; do :; done
    else
        for server in 1 254; do
            echo "server $server"
            flows client 10.9.0.$server PATTERNS || exit 1
        done
        until nc 10.9.0.1 9001 </dev/null; do :; done
    fi
"""
TIMEOUT = 1800


def parse(text, vps):
    """Instructions by server and pattern: the slope between two counts."""
    found = {}
    parts = dict(re.findall(r"^server (\d+)$(.*?)^flows: end$", text, re.M | re.S))
    for server, number in (("guest", "1"), ("root", "254")):
        counts = {}
        for name, count, ticks in re.findall(r"^flows: (\w+) (\d+) (\d+)$", parts.get(number, ""), re.M):
            counts.setdefault(name, []).append((int(count), int(ticks)))
        if set(counts) != {name for name, _ in ROWS[vps]} or any(len(three) != 3 for three in counts.values()):
            raise LabError(f"the guest did not measure everything:\n{text}")
        for name, (_, (few, short), (many, long)) in counts.items():
            found[server, name] = (long - short) / (many - few)
    return found


def puts(vps):
    flows = os.path.join(BUILD, "tests", "bench", "flows")
    command = COMMAND.replace("PATTERNS", " ".join(name for name, _ in ROWS[vps]))
    initrd = guest.initrd(f"bench-network-{vps}", command, kernels.get("6.1"), DRIVERS, programs=[flows])
    return [*guest.puts("6.1", initrd), storage.program_of_root("ip", "iproute2"), (flows, "/root/flows")]


def ours(root, vps):
    def worker(me):
        return guest.shell(guest.worker(f"guest{me}", memory="256M", vps=vps, append=f"mitigations=off me={me}", more=["--net", f"lan,port=p{me}"]))
    text = root(f"""
        modprobe tun || exit 1
        vswitchd --control /run/vswitchd.control --ports /run/vswitchd.ports &
        until [ -S /run/vswitchd.ports ]; do usleep 100000; done
        vswitch create lan && vswitch port lan add host internal:lan0 || exit 1
        ./ip addr add 10.9.0.254/24 dev lan0
        ./ip link set lan0 up
        ./flows server &
        {worker(1)} >server 2>&1 &
        {worker(2)}""", timeout=TIMEOUT, puts=[
            *puts(vps), (os.path.join(BUILD, "switch", "vswitchd"), "/usr/bin/vswitchd"), (os.path.join(BUILD, "cli", "vswitch"), "/usr/bin/vswitch")])
    return parse(text, vps)


def peer(root, vps):
    queues = f",mq=on,vectors={2 * vps + 2}" if vps > 1 else ""

    def qemu(me):
        return guest.shell([*storage.QEMU, "-smp", str(vps), "-kernel", "/root/vmlinuz", "-initrd", "/root/initrd", "-append", f"{guest.CMDLINE} mitigations=off me={me}",
                            "-netdev", f"tap,id=net,ifname=tap{me},script=no,downscript=no,vhost=on,queues={vps}",
                            "-device", f"virtio-net-pci,netdev=net,romfile=,mac=52:54:00:00:00:0{me}{queues}"])
    text = root(f"""
        modprobe kvm-amd && modprobe vhost_net && modprobe tun && modprobe bridge || exit 1
        ./ip link add name bridge0 type bridge
        ./ip addr add 10.9.0.254/24 dev bridge0
        ./ip link set bridge0 up
        for me in 1 2; do
            ./ip tuntap add dev tap$me mode tap vnet_hdr {"multi_queue" if vps > 1 else ""}
            ./ip link set tap$me master bridge0
            ./ip link set tap$me up
        done
        ./flows server &
        {qemu(1)} >server 2>&1 &
        {qemu(2)}""", bare=True, timeout=TIMEOUT, puts=[*puts(vps), *storage.firmware(), storage.program_of_root("qemu-system-x86_64", "qemu-system-x86")])
    return parse(text, vps)


def measure(root):
    """root(command, **options) runs a command in the root, counted, and gives its output."""
    with concurrent.futures.ThreadPoolExecutor(2) as machines:
        runs = {vps: [machines.submit(machine, root, vps) for machine in (ours, peer)] for vps in ROWS}
        mine, other = ({key: value for both in runs.values() for key, value in both[i].result().items()} for i in (0, 1))
    print("a guest's network: instructions for one")
    print(f"{'':44}{'switch':>12}{'vhost, bridge':>15}{'ours / KVM':>12}")
    for server, to in SERVERS:
        for name, title in (row for rows in ROWS.values() for row in rows):
            a, b = mine[server, name], other[server, name]
            print(f"{f'{title}, {to}':44}{a:12,.0f}{b:15,.0f}{a / b:12.3f}")
