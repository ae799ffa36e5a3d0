"""make bench: what a UDP packet costs from one network namespace of the root to another, in instructions, system calls of the sender and
the receiver included.

Each namespace has one end of a veth pair. The other ends are joined to each other (the least there is), by a Linux bridge, by the kernel's
part of Open vSwitch, whose flows are there already, or by the virtual switch with packet sockets on them. One packet at a time, and 32
at a time.
"""
import os
import re
import shutil

from labkit import BUILD, LabError, openvswitch

WAYS = [("direct", "one veth"), ("bridge", "bridge"), ("switch", "switch"), ("ovs", "Open vSwitch")]
SIZES = {22: "64 bytes", 1472: "1,514 bytes"}
COMMAND = f"""set -e
modprobe veth
modprobe bridge
tar -x -f ovs.tar -C /
dpctl() {{ {openvswitch.DPCTL} "$@"; }}
unshare -n sleep 9999 & a=$!
unshare -n sleep 9999 & b=$!
sleep 1
join() {{
    for n in a b; do
        ./ip link add name p$n type veth peer name x$n
        ./ip link set p$n up
    done
    ./ip link set xa netns $a
    ./ip link set xb netns $b
}}
address() {{
    nsenter -t $1 -n ./ip addr add 10.9.0.$2/24 dev $3
    nsenter -t $1 -n ./ip link set $3 up
}}
./ip link add name xa type veth peer name xb
./ip link set xa netns $a
./ip link set xb netns $b
address $a 1 xa
address $b 2 xb
echo "way direct"
./packets $a $b
nsenter -t $a -n ./ip link del xa

join
./ip link add name bridge0 type bridge
./ip link set pa master bridge0
./ip link set pb master bridge0
./ip link set bridge0 up
address $a 1 xa
address $b 2 xb
sleep 1
echo "way bridge"
./packets $a $b
./ip link del bridge0
./ip link del pa
./ip link del pb

join
vswitchd --control /tmp/control --ports /tmp/ports & switch=$!
sleep 1
vswitch --socket /tmp/control create lan
vswitch --socket /tmp/control port lan add a external:pa
vswitch --socket /tmp/control port lan add b external:pb
address $a 1 xa
address $b 2 xb
echo "way switch"
./packets $a $b
kill $switch
./ip link del pa
./ip link del pb

# The last: what the module brings along is in the way of every packet from here on.
modprobe openvswitch
join
dpctl add-dp dp0
dpctl add-if dp0 pa pb
for kind in 'eth_type(0x0800),ipv4()' 'eth_type(0x0806),arp()'; do
    dpctl add-flow dp0 "in_port(1),eth(),$kind" 2
    dpctl add-flow dp0 "in_port(2),eth(),$kind" 1
done
address $a 1 xa
address $b 2 xb
echo "way ovs"
./packets $a $b
kill $a $b
"""


def parse(text):
    """Instructions for a packet by way, size and window: the slope between two counts."""
    found = {}
    for way, part in re.findall(r"^way (\w+)$(.*?)^packets: end$", text, re.M | re.S):
        counts = {}
        for size, window, count, ticks in re.findall(r"^packets: (\d+) (\d+) (\d+) (\d+)$", part, re.M):
            counts.setdefault((int(size), int(window)), []).append((int(count), int(ticks)))
        for (size, window), ((few, short), (many, long)) in counts.items():
            found[way, size, window] = (long - short) / (many - few)
    if len(found) != len(WAYS) * 4:
        raise LabError(f"the root did not measure everything:\n{text}")
    return found


def measure(root):
    """root(command, **options) runs a command in the root, counted, and gives its output."""
    text = root(COMMAND, bare=True, puts=[
        (openvswitch.dpctl(), "/root/ovs.tar"),
        (shutil.which("ip"), "/root/ip"), (os.path.join(BUILD, "tests", "bench", "packets"), "/root/packets"),
        (os.path.join(BUILD, "switch", "vswitchd"), "/usr/bin/vswitchd"), (os.path.join(BUILD, "cli", "vswitch"), "/usr/bin/vswitch")])
    found = parse(text)
    print("a UDP packet between namespaces of the root: instructions")
    print(f"{'':32}" + "".join(f"{title:>14}" for _, title in WAYS) + f"{'/ bridge':>12}{'/ Open vSwitch':>16}")
    for size, name in SIZES.items():
        for window in (1, 32):
            row = [found[way, size, window] for way, _ in WAYS]
            print(f"{f'{name}, {window} at a time':32}" + "".join(f"{value:14,.0f}" for value in row) + f"{row[2] / row[1]:12.3f}{row[2] / row[3]:16.3f}")
