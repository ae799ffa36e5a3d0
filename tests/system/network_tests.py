"""Guests on a virtual switch: their own netvsc gets a link, an address, pages from the root, and each other."""
import json
import os
import re

from harness import BUILD, guest, kernels, test
from labkit import dpdk, floppy, judge

PROGRAMS = [(os.path.join(BUILD, folder, name), f"/usr/bin/{name}") for folder, name in (("switch", "vswitchd"), ("cli", "vswitch"), ("cli", "vmctl"))]
VNAT = (os.path.join(BUILD, "switch", "vnat"), "/usr/bin/vnat")
IPERF = "/usr/bin/iperf3"

# In the root: a switch with a way out by NAT, and the page on an address of the root's that its guests reach so.
SERVER = "192.0.2.1"
NAT = f"""
    vswitchd --control /run/vswitchd.control --ports /run/vswitchd.ports 2>&1 &
    until vswitch list >/dev/null 2>&1; do usleep 100000; done
    vswitch create lan && vswitch port lan add out nat || exit 1
    ip link set lo up
    ip addr add {SERVER}/32 dev lo
    mkdir www
    head -c 3000000 /dev/urandom >www/page
    httpd -p {SERVER}:80 -h www
    echo "sum: $(md5sum <www/page | cut -c 1-32)"
"""

# In the root: a switch with the root's own interface on it, an address to be had there, and a page.
START = """
    vswitchd --control /run/vswitchd.control --ports /run/vswitchd.ports 2>&1 &
    until vswitch list >/dev/null 2>&1; do usleep 100000; done
    vswitch create lan || exit 1
    vswitch port lan add host internal:lan0 || exit 1
    ip addr add 10.1.0.1/24 dev lan0
    ip link set lan0 up
"""
SWITCH = """
    modprobe tun || exit 1
    mkdir -p www /var/lib/misc
    head -c 3000000 /dev/urandom >www/page
""" + START + """
    ip link set lo up
    printf 'start 10.1.0.10\\nend 10.1.0.99\\ninterface lan0\\nlease_file /tmp/leases\\n' >udhcpd.conf
    touch /tmp/leases
    udhcpd -f udhcpd.conf 2>/dev/null &
    httpd -p 10.1.0.1:80 -h www
    echo "sum: $(md5sum <www/page | cut -c 1-32)"
"""

# In a guest: link, address, and the page. Warnings of the kernel would cut the lines that are looked for.
ADDRESS = """
    cat >/dhcp <<'END'
#!/bin/sh
[ "$1" = bound ] || exit 0
ip addr add $ip/24 dev $interface
[ -z "$router" ] || ip route add default via $router
END
    chmod 755 /dhcp
    dmesg -n 4
    ip link set lo up
    until [ -e /sys/class/net/eth0 ]; do usleep 100000; done
    ip link set eth0 up || exit 1
    until [ "$(cat /sys/class/net/eth0/carrier)" = 1 ]; do usleep 100000; done
    until udhcpc -q -n -i eth0 -s /dhcp >/dev/null 2>&1; do :; done
"""
PAGE = """
    echo "page: $(wget -q -O - http://10.1.0.1/page | md5sum | cut -c 1-32)"
"""


def initrd(name, command, kernel="6.1", programs=()):
    architecture = "i386" if kernel.endswith("i386") else "amd64"
    return guest.initrd(name, command, kernels.get(kernel), ["hv_netvsc"], architecture, programs)


def fetched(t, text, times=1):
    sums = re.findall(r"sum: (\w{32})", text)
    t.same("sums of the page", re.findall(r"page: (\w{32})", text), sums[:1] * times)
    t.calm(text)


def page(kernel, vps=1, command="", look=None):
    def run(t):
        worker = guest.worker(vps=vps, more=["--net", "lan"])
        text = t.root(NAT + guest.shell(worker) + "; echo ended with $?; vswitch stats lan", puts=[
            *guest.puts(kernel, initrd(f"network-{kernel}-{vps}", ADDRESS + PAGE.replace("10.1.0.1", SERVER) + command, kernel)), *PROGRAMS, VNAT])
        fetched(t, text)
        t.has(text, "ended with 0")
        if look:
            look(t, text)
    return run


for kernel_ in ("6.1", "6.12", "7", "6.1-i386"):
    test(f"network: a guest of {kernel_} gets an address and a page by NAT", deadline=600)(page(kernel_))


def queues(t, text):
    t.has(text, "channels: 4\n")
    t.has(text, "again\n")


test("network: with sub-channels for 4 VPs", deadline=900)(page("6.1", 4, """
    until [ "$(ls /sys/class/net/eth0/device/channels | wc -l)" = 4 ]; do usleep 100000; done
    echo "channels: 4"
    for i in 1 2 3 4; do wget -q -O /tmp/page$i http://192.0.2.1/page & done; wait
    [ "$(md5sum /tmp/page? | cut -c 1-32 | sort -u | wc -l)" = 1 ] && echo again
""", queues))


@test("network: what a guest sends arrives, its interface goes down and up, and its MTU may be 9,000", deadline=900)
def both_ways(t):
    command = ADDRESS + PAGE + """
        head -c 3000000 /dev/urandom >/tmp/file
        echo "sent: $(md5sum </tmp/file | cut -c 1-32)"
        nc 10.1.0.1 5000 </tmp/file
        address=$(ip -4 addr show eth0 | sed -n 's/.*inet \\([0-9.]*\\).*/\\1/p')
        for mtu in 9000 1500; do
            ip link set eth0 mtu $mtu || exit 1
            ip link set eth0 down; ip link set eth0 up
            ip addr add $address/24 dev eth0 2>/dev/null
            for i in 1 2 3 4 5 6 7 8 9 10; do
                ping -c 1 -s $((mtu - 28)) 10.1.0.1 >/dev/null && break
            done && echo "mtu: $mtu"
        done
    """
    worker = guest.worker(vps=2, more=["--net", "lan"])
    text = t.root(SWITCH.replace("internal:lan0", "internal:lan0 max-bytes=9014") + "ip link set lan0 mtu 9000; sleep 900 | nc -l -p 5000 >received & " + guest.shell(worker) +
                  "; echo ended with $?; echo \"received: $(md5sum <received | cut -c 1-32)\"; vswitch stats lan",
                  puts=[*guest.puts("6.1", initrd("both-ways", command)), *PROGRAMS])
    fetched(t, text)
    t.same("what arrived", re.findall(r"received: (\w+)", text), re.findall(r"sent: (\w+)", text))
    t.same("MTUs", re.findall(r"mtu: (\d+)", text), ["9000", "1500"])
    t.has(text, "ended with 0")


@test("network: two guests reach each other, by TCP and UDP both ways, with large frames whole, and tshark finds nothing wrong", deadline=900)
def two(t):
    command = ADDRESS + """
        # Of what is received now: bytes a frame.
        sizes() { set -- $(cat /sys/class/net/eth0/statistics/rx_bytes /sys/class/net/eth0/statistics/rx_packets) $*; echo "size: $((($1 - $3) / ($2 - $4 + 1)))"; }
        for word in $(cat /proc/cmdline); do case $word in me=*) me=${word#me=};; esac; done
        ip addr add 10.2.0.$me/24 dev eth0
        until ping -c 3 10.2.0.$((3 - me)) >/tmp/ping; do :; done
        echo "reached: $((3 - me))"
        if [ $me = 1 ]; then
            head -c 3000000 /dev/urandom >/tmp/file
            echo "sent: $(md5sum </tmp/file | cut -c 1-32)"
            until nc 10.2.0.2 5000 </tmp/file; do sleep 1; done
        else
            before=$(cat /sys/class/net/eth0/statistics/rx_bytes /sys/class/net/eth0/statistics/rx_packets)
            nc -l -p 5000 >/tmp/file
            echo "received: $(md5sum </tmp/file | cut -c 1-32)"
            sizes $before
        fi
        echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_dad
        ip addr add fd77::$me/64 dev eth0
        until ping -6 -c 1 fd77::$((3 - me)) >/dev/null; do :; done
        if [ $me = 1 ]; then
            for address in 10.2.0.2 fd77::2; do
                for way in "-n 400K" "-n 400K -R" "-u -b 10M -n 100K" "-u -b 10M -n 100K -R"; do
                    until iperf3 -c $address $way >/tmp/iperf; do sleep 1; done
                    echo "iperf: $address $way"
                done
            done
            until nc 10.2.0.2 6000 </dev/null; do sleep 1; done
        else
            iperf3 -s >/dev/null 2>&1 &
            nc -l -p 6000
        fi
        ip link set eth0 down; ip link set eth0 mtu 9000 || exit 1
        ip link set eth0 up
        ip addr add 10.2.0.$me/24 dev eth0 2>/dev/null
        if [ $me = 1 ]; then
            until ping -c 1 -s 8900 10.2.0.2 >/dev/null; do :; done
            until nc 10.2.0.2 6000 </dev/null; do sleep 1; done
        else
            nc -l -p 6000
        fi
    """
    first, second = (guest.shell(guest.worker(f"guest{me}", vps=1, memory="256M", append=f"me={me}", more=["--net", f"lan,port=p{me}"]))
                     for me in (1, 2))
    text = t.root(SWITCH + f"""
        vswitch port lan add p1 guest
        vswitch capture lan p1 capture & capture=$!
        {first} >one 2>&1 & first=$!; {second} >two 2>&1; echo second ended with $?
        wait $first; echo first ended with $?
        kill $capture; wait $capture
        cat one two; vswitch stats lan""", gets=[("/root/capture", t.path("capture"))],
                  puts=[*guest.puts("6.1", initrd("two", command, programs=[IPERF])), *PROGRAMS])
    t.has(text, "first ended with 0")
    t.has(text, "second ended with 0")
    t.same("who was reached", sorted(re.findall(r"reached: (\d)", text)), ["1", "2"])
    t.same("what arrived", re.findall(r"received: (\w+)", text), re.findall(r"sent: (\w+)", text))
    t.same("transfers of iperf3", len(re.findall(r"^iperf: ", text, re.M)), 8)
    # A guest that takes RSC gets what the other sends by LSO as it is.
    t.check(int(re.search(r"^size: (\d+)", text, re.M)[1]) > 1600, "the file came in short frames")
    t.calm(text)
    t.same("what tshark complains of", judge.complaints(t.path("capture")), "")
    t.same("jumbo frames", len(judge.frames(t.path("capture"), "icmp && frame.len == 8942")) >= 2, True)


@test("network: adapters come and go while iperf3 runs, and the switch ends and comes back", deadline=900)
def come_and_go(t):
    command = ADDRESS + """
        adapters() { ls -d /sys/class/net/eth* | wc -l; }
        sent() { cat /sys/class/net/eth0/statistics/tx_bytes; }
        iperf3 -c 10.1.0.1 -t 9999 -b 20M >/tmp/iperf 2>&1 &
        echo "now: add"
        until [ $(adapters) = 9 ]; do usleep 100000; done
        for i in 1 2 3 4 5 6 7 8; do ip link set eth$i up; done
        ip addr add 10.3.0.8/24 dev eth8
        until ping -c 1 10.3.0.1 >/dev/null; do :; done
        echo "now: remove"
        until [ $(adapters) = 1 ]; do usleep 100000; done
        before=$(sent)
        until [ $(sent) -gt $((before + 1000000)) ]; do usleep 100000; done
        echo "traffic: goes on"
        ! grep error /tmp/iperf || cat /tmp/iperf
        killall iperf3
        echo "now: end the switch"
        until [ "$(cat /sys/class/net/eth0/carrier)" = 0 ]; do usleep 100000; done
        ip link set eth0 down; ip link set eth0 up
        echo "now: start the switch"
        until [ "$(cat /sys/class/net/eth0/carrier)" = 1 ]; do usleep 100000; done
        echo "link: up"
        until ping -c 1 10.1.0.1 >/dev/null; do :; done
    """ + PAGE
    worker = guest.worker(vps=2, more=["--net", "lan", "--control", "/run/control"])
    text = t.root(SWITCH + f"""
        said() {{ until grep -q "now: $1" out; do usleep 100000; done; }}
        iperf3 -s >/dev/null 2>&1 &
        ip addr add 10.3.0.1/24 dev lan0
        {guest.shell(worker)} >out 2>&1 & worker=$!
        said add
        for i in 1 2 3 4 5 6 7 8; do vmctl /run/control net add lan,port=more$i,mac=00:15:5d:00:00:0$i,queues=1 || echo "not added"; done
        vmctl /run/control net add wan; echo "=status $?"
        vmctl /run/control net connect 0; echo "=status $?"
        said remove
        vmctl /run/control net list
        vmctl --no-wait /run/control net remove 8
        for i in 1 2 3 4 5 6 7; do vmctl /run/control net remove $i || echo "not removed"; done
        vmctl /run/control net remove 1; echo "=status $?"
        said 'end the switch'
        echo "ports: $(vswitch list lan | grep -c more)"
        killall vswitchd
        said 'start the switch'
        {START}
        vmctl /run/control net connect 0 || echo "not connected"
        wait $worker; echo ended with $?
        cat out""", puts=[*guest.puts("6.1", initrd("come-and-go", command, programs=[IPERF])), *PROGRAMS, (IPERF, IPERF)])
    t.same("statuses", re.findall(r"=status (\d+)", text), ["1"] * 3)
    for said in ("there is no switch \"wan\"", "adapter 0 has its switch", "adapter 1 is not there", "8   lan, port more8, 00:15:5d:00:00:08",
                 "ports: 0", "traffic: goes on", "switch lan is gone; its link is down", "link: up", "ended with 0"):
        t.has(text, said)
    t.check("not " not in "".join(re.findall(r"^not \w+", text, re.M)), "an adapter was not added, removed or connected")
    fetched(t, text)


# To a second switch by a cable, on which nothing is left undone: what the root's interface hears is as on a wire.
OFFLOADS = """
    offload() {
        name=$1; shift
        for state in off on; do
            ethtool -K eth0 $name $state || echo "cannot: $name $state"
            iperf3 -n 400K "$@" >/dev/null || echo "failed: $name $state"
            ethtool -k eth0 | grep -q "^[[:space:]]*$name: $state" && echo "offload: $name $state"
        done
    }
    ip addr add 10.1.0.8/24 dev eth0
    echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_dad
    ip addr add fd77::8/64 dev eth0
    until ping -c 1 10.1.0.1 >/dev/null && ping -6 -c 1 fd77::1 >/dev/null; do :; done
    offload tx-checksum-ipv4 -c 10.1.0.1
    offload tx-tcp-segmentation -c 10.1.0.1
    offload generic-segmentation-offload -c 10.1.0.1
    offload tx-checksum-ipv6 -c fd77::1
    offload tx-tcp6-segmentation -c fd77::1
    offload large-receive-offload -R -c 10.1.0.1
    offload rx-checksumming -R -c fd77::1
    iperf3 -u -b 10M -n 100K -c 10.1.0.1 >/dev/null || echo "failed: UDP"
    iperf3 -u -b 10M -n 100K -c fd77::1 >/dev/null || echo "failed: UDP of v6"
"""


@test("network: each offload on and off, with checksums that tcpdump finds right", deadline=900)
def offloads(t):
    link = """
        dmesg -n 4
        until [ -e /sys/class/net/eth0 ]; do usleep 100000; done
        ip link set lo up; ip link set eth0 up
    """
    worker = guest.worker(vps=2, more=["--net", "lan"])
    tools = ["/usr/sbin/ethtool", IPERF]
    text = t.root(f"""
        modprobe tun; modprobe ipv6 2>/dev/null
        {START}
        vswitch create near; vswitch connect near up lan down || exit 1
        ip link set lo up
        echo 0 >/proc/sys/net/ipv6/conf/lan0/accept_dad
        ip addr add fd77::1/64 dev lan0
        iperf3 -s >/dev/null 2>&1 &
        grep -q ^root: /etc/passwd || echo root:x:0:0::/:/bin/sh >>/etc/passwd
        tcpdump -Z root -i lan0 -Q in -s 0 -U -w dump 'ip or ip6' & dump=$!
        {guest.shell(worker).replace("--net lan", "--net near")}; echo ended with $?
        while [ "$size" != "$(wc -c <dump)" ]; do size=$(wc -c <dump); sleep 1; done
        kill $dump; wait $dump
        tcpdump -Z root -nvv -r dump >text
        echo "right: $(grep -c '(correct)' text)"
        echo "udp: $(grep -c 'udp sum ok' text)"
        grep -m 3 -B 1 -E 'incorrect|bad (udp )?cksum|bad-' text && echo "wrong"
        vswitch stats near""", puts=[*guest.puts("6.1", initrd("offloads", link + OFFLOADS, programs=tools)), *PROGRAMS, (IPERF, IPERF),
                                     ("/usr/bin/tcpdump", "/usr/bin/tcpdump")])
    names = ["tx-checksum-ipv4", "tx-tcp-segmentation", "generic-segmentation-offload", "tx-checksum-ipv6", "tx-tcp6-segmentation",
             "large-receive-offload", "rx-checksumming"]
    t.check(not re.search(r"^(failed|cannot|wrong)", text, re.M), "a transfer failed, or a checksum is wrong")
    t.same("offloads", re.findall(r"^offload: (\S+ \S+)$", text, re.M), [f"{name} {state}" for name in names for state in ("off", "on")])
    t.check(int(re.search(r"^right: (\d+)", text, re.M)[1]) > 500, "tcpdump saw few frames")
    t.check(int(re.search(r"^udp: (\d+)", text, re.M)[1]) > 10, "tcpdump saw few frames of UDP")
    t.has(text, "ended with 0")


def balance(t, text):
    """Each frame that a guest sent came to the root's port, by its own address or as a broadcast, or was counted there when it was lost."""
    ports = {port["port"]: port["stats"] for port in json.loads(re.search(r"^balance: (.*)$", text, re.M)[1])}
    sent = sum(stats["sent-frames"] for name, stats in ports.items() if name != "host")
    lost = sum(count for reason, count in ports["host"]["drops"].items() if reason != "nowhere")
    t.check(sent > 200, f"only {sent} frames were sent")
    t.same("frames that came to the root or were lost there", ports["host"]["received-frames"] + lost, sent)


def killed(rounds):
    """Of two guests that send all the time one starts anew, again and again, and the other's worker is killed, and again goes on from the
    state that was saved in mid-traffic."""
    def run(t):
        flood = """
            for word in $(cat /proc/cmdline); do case $word in me=*) me=${word#me=};; host=*) host=${word#host=};; esac; done
            dmesg -n 1
            ip link set lo up
            until [ -e /sys/class/net/eth0 ]; do usleep 20000; done
            echo 1 >/proc/sys/net/ipv6/conf/eth0/disable_ipv6
            ip addr add 10.1.0.1$me/24 dev eth0
            ip link set eth0 up
            arp -i eth0 -s 10.1.0.1 $host
            for i in 1 2 3 4; do ping -i 0.01 -q -s 1000 10.1.0.1 >/dev/null & done
            until [ $(cat /sys/class/net/eth0/statistics/rx_packets) -gt 50 ]; do usleep 20000; done
            echo "flood: $(cat /proc/sys/kernel/random/boot_id)"
            [ $me = 1 ] || sleep 9999
            [ "$(wget -q -O - http://10.1.0.1/state)" = end ] || reboot -f
            echo "page: $(wget -q -O - http://10.1.0.1/page | md5sum | cut -c 1-32)"
            killall ping
        """
        # The kernel's tests of its own cryptography are most of what a boot costs here.
        one, two, again = (guest.shell(guest.worker(name, vps=1, memory="128M", append=f"me={name[-1]} host=HOST", serial=f"file:{name}.out", more=[
            "--net", f"lan,port={name},mac=00:15:5d:00:00:0{name[-1]}", "--control", f"/run/{name}", *more])).replace("HOST", "'$host'")
            for name, more in (("guest1", []), ("guest2", []), ("guest2", ["--restore", "state"])))
        text = t.root("modprobe tun || exit 1" + START.replace("ip link set lan0 up", """
            echo 1 >/proc/sys/net/ipv6/conf/lan0/disable_ipv6
            ip link set lan0 up""") + f"""
            ip link set lo up
            for me in 1 2; do
                vswitch port lan add guest$me guest
                arp -i lan0 -s 10.1.0.1$me 00:15:5d:00:00:0$me
            done
            mkdir www
            head -c 300000 /dev/urandom >www/page
            echo "sum: $(md5sum <www/page | cut -c 1-32)"
            echo begin >www/state
            httpd -p 10.1.0.1:80 -h www
            host=$(cat /sys/class/net/lan0/address)
            daemon=$(pidof vswitchd)
            resources() {{ echo "$(ls /proc/$daemon/fd | wc -l) $(grep -c -E 'guest-ram|frame-heads|memfd:port' /proc/$daemon/maps)"; }}
            # The first count may have a client that the daemon has not closed yet.
            balances() {{ set -- $(resources) $1; [ $1 -le $3 ] && [ $2 -le $4 ]; }}
            said() {{ until [ "$(grep -c flood: $1.out 2>/dev/null)" -ge $2 ] 2>/dev/null; do kill -0 $3 || exit 1; usleep 200000; done; }}
            sent() {{ vswitch stats lan guest2 | awk '/ sent / {{ print $3 }}'; }}
            empty=$(resources)
            {one} & one=$!
            said guest1 1 $one
            before=$(resources)
            {two} & two=$!
            said guest2 1 $two
            vmctl /run/guest2 save state || exit 1
            wait $two; echo "saved with $?"
            for round in $(seq {rounds}); do
                until balances "$before"; do usleep 50000; done
                rm -f /run/guest2
                count=$(sent)
                {again} & two=$!
                until [ $(sent) -gt $((count + 50)) ]; do kill -0 $two || exit 1; usleep 200000; done
                kill -9 $two; wait $two 2>/dev/null
                echo "killed: $round"
            done
            said guest1 {rounds + 1} $one
            # What the guest fetches at last it fetches in the other's flood, by its reserve.
            vswitch qos lan guest1 weight=90
            rm -f /run/guest2
            {again} & two=$!
            echo end >www/state
            wait $one; echo "ended with $?"
            kill $two; wait $two
            until balances "$empty"; do usleep 50000; done
            cat guest1.out
            echo "balance: $(vswitch --json list lan | tr -d '\\n')\"""", puts=[*guest.puts("6.1", initrd("flood", flood)), *PROGRAMS])
        t.has(text, "saved with 8")
        t.same("workers that were killed", len(re.findall(r"^killed: ", text, re.M)), rounds)
        boots = len(set(re.findall(r"^flood: (\S+)", text, re.M)))
        t.check(boots > rounds, f"the guest started {boots} times")
        fetched(t, text)
        t.has(text, "ended with 0")
        balance(t, text)
    return run


test("network: workers are killed and a guest starts anew in mid-traffic, and the switch's counters and memory balance", deadline=1200)(killed(4))
test("network: twenty workers are killed and a guest starts anew twenty times in mid-traffic", deadline=7200, soak=True)(killed(20))


@test("network: a guest goes on from its file, with its adapter, on a switch that was started anew", deadline=900)
def from_a_file(t):
    command = ADDRESS + """
        while [ "$(wget -q -O - http://10.1.0.1/state)" != end ]; do
            echo "page: $(wget -q -O - http://10.1.0.1/page | md5sum | cut -c 1-32)"
        done
    """
    worker, again = (guest.shell(guest.worker("saved", memory="128M", vps=2, serial=f"file:{out}", more=["--net", "lan", "--control", "/run/control", *more]))
                     for out, more in (("one", []), ("two", ["--restore", "state"])))
    text = t.root(SWITCH + f"""
        echo begin >www/state
        pages() {{ until [ "$(grep -c page: $1 2>/dev/null)" -ge $2 ] 2>/dev/null; do kill -0 $worker || exit 1; usleep 100000; done; }}
        {worker} & worker=$!
        pages one 2
        vmctl /run/control net list
        vmctl /run/control save state || exit 1
        wait $worker; echo saved with $?
        killall vswitchd; while pidof vswitchd >/dev/null; do usleep 100000; done
        {START}
        rm -f /run/control
        {again} & worker=$!
        pages two 3
        vmctl /run/control net list
        echo end >www/state
        wait $worker; echo ended with $?
        cat one two""", puts=[*guest.puts("6.1", initrd("from-a-file", command)), *PROGRAMS])
    t.has(text, "saved with 8")
    t.has(text, "ended with 0")
    t.same("addresses", len(set(re.findall(r"port saved-0, (\S+)$", text, re.M))), 1)
    pages = re.findall(r"page: (\w{32})", text)
    t.check(len(pages) >= 5, f"{len(pages)} pages")
    t.same("pages", set(pages), set(re.findall(r"sum: (\w{32})", text)))
    t.calm(text)


@test("network: what cannot be had is said", deadline=300)
def refused(t):
    def run(words):
        return f"{guest.shell(guest.worker(more=['--net', words]))} 2>&1; echo \"=status $?\"\n"
    text = t.root(run("lan") + SWITCH + run("wan") + run("lan,port=host"), puts=[*guest.puts(), *PROGRAMS])
    t.same("statuses", re.findall(r"=status (\d+)", text), ["2"] * 3)
    t.has(text, "--net lan: /run/vswitchd.ports: No such file or directory; is vswitchd running")
    t.has(text, "there is no switch \"wan\"")
    t.has(text, "port \"host\" is in use")


@test("network: DPDK's testpmd forwards between two adapters, which it signals by its monitor page", deadline=900)
def testpmd(t):
    """A ping goes from the root to a namespace of its own, and back, by two switches and the guest between them."""
    command = f"""
        until [ $(ls -d /sys/class/net/eth* | wc -l) = 2 ]; do usleep 100000; done
        devices=$(for n in 0 1; do basename $(readlink -f /sys/class/net/eth$n/device); done)
        cd /sys/bus/vmbus/drivers
        echo f8615163-df3e-46c5-913f-f2d2f965ed0e >uio_hv_generic/new_id
        for device in $devices; do
            echo $device >hv_netvsc/unbind
            echo $device >uio_hv_generic/bind || exit 1
        done
        chmod 755 / /dpdk
        mkdir -p /dev/hugepages /var/run
        mount -t hugetlbfs none /dev/hugepages
        mkfifo /never; sleep 9999 >/never &
        LD_PRELOAD=/queues_started.so {dpdk.TESTPMD} -l 0-1 -- --forward-mode=io --total-num-mbufs=4096 --auto-start </never
    """
    with open(os.path.join(BUILD, "tests", "system", "queues_started.so"), "rb") as file:
        more = {**dpdk.files(), "queues_started.so": file.read()}
    image = guest.initrd("testpmd", command, kernels.get("6.1"), ["hv_netvsc", "uio_hv_generic"], more=more)
    worker = guest.worker("testpmd", vps=2, append="hugepages=64", more=["--net", "near,port=one,signals=page", "--net", "far,port=two,signals=page"])
    text = t.root(f"""
        modprobe tun || exit 1
        vswitchd --control /run/vswitchd.control --ports /run/vswitchd.ports 2>&1 &
        until vswitch list >/dev/null 2>&1; do usleep 100000; done
        unshare -n sleep 9999 & other=$!
        until nsenter -t $other -n ip link set lo up 2>/dev/null && [ "$(readlink /proc/$other/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do usleep 100000; done
        for name in near far; do
            vswitch create $name && vswitch port $name add host internal:$name || exit 1
        done
        vswitch port near add one guest && vswitch port near set one spoofing=on
        vswitch port far add two guest && vswitch port far set two spoofing=on
        ip addr add 10.4.0.1/24 dev near; ip link set near up
        ip link set far netns $other
        nsenter -t $other -n ip addr add 10.4.0.2/24 dev far
        nsenter -t $other -n ip link set far up
        {guest.shell(worker)} >out 2>&1 & worker=$!
        until grep -q 'Press enter to exit' out || ! kill -0 $worker; do sleep 1; done
        until ping -c 1 -W 5 10.4.0.2 >/dev/null; do kill -0 $worker || exit 1; done
        ping -c 20 -i 0.1 -W 20 10.4.0.2
        kill $worker; wait $worker
        cat out; vswitch stats near""", puts=[*guest.puts("6.1", image), *PROGRAMS])
    t.has(text, "20 packets transmitted, 20 packets received")
    t.has(text, "io packet forwarding - ports=2")
    t.calm(text)


IPXE = "/boot/ipxe.lkrn"  # of the package ipxe


@test("network: iPXE gets an address by NAT, a kernel by HTTP and its initrd by TFTP, and starts them", deadline=900)
def ipxe(t):
    """Its netvsc speaks VMBus 0.13, whose signals go by a page, and NVSP 1."""
    server = SERVER
    words = f"dhcp && kernel http://{server}/vmlinuz {guest.CMDLINE} && initrd tftp://{server}/initrd && boot"
    worker = ["vmwp", "--name", "tiny", "--generation", "1", "--floppy", "/root/ipxe.img", "--memory", "512M", "--vps", "1",
              "--serial", "file:/root/screen", "--net", "lan"]
    text = t.root(f"""
        modprobe tun || exit 1
        vswitchd --control /run/vswitchd.control --ports /run/vswitchd.ports &
        until [ -S /run/vswitchd.ports ]; do usleep 100000; done
        vswitch create lan && vswitch port lan add out nat || exit 1
        ip link set lo up
        ip addr add {server}/32 dev lo
        mkdir www
        mv vmlinuz initrd www
        httpd -p {server}:80 -h www
        dnsmasq --no-daemon --user=root --port=0 --listen-address={server} --enable-tftp --tftp-root=/root/www --conf-file=/dev/null 2>/dev/null &
        {guest.shell(worker)} & worker=$!
        until grep -q 'guest: status\\|No bootable device' screen 2>/dev/null; do sleep 1; done
        kill $worker; wait $worker
        cat screen; vswitch stats lan""",
                  puts=[*guest.puts("6.1", guest.initrd("ipxe", "echo started")), (floppy.make("ipxe", IPXE, words), "/root/ipxe.img"),
                        ("/usr/share/seabios/bios-256k.bin", "/usr/share/seabios/bios-256k.bin"),
                        ("/usr/sbin/dnsmasq", "/usr/bin/dnsmasq"), VNAT, *PROGRAMS])
    t.check(re.search(rf"http://{server}/vmlinuz\.\.\.[^:]* ok\s+tftp://{server}/initrd\.\.\.[^:]* ok", text), "iPXE did not fetch both")
    t.has(text, "started\n")
    t.calm(text)
