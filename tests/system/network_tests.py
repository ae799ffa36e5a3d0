"""Guests on a virtual switch: their own netvsc gets a link, an address, pages from the root, and each other."""
import os
import re

from harness import BUILD, TROUBLE, guest, kernels, test
from labkit import floppy

PROGRAMS = [(os.path.join(BUILD, folder, name), f"/usr/bin/{name}") for folder, name in (("switch", "vswitchd"), ("cli", "vswitch"), ("cli", "vmctl"))]
IPERF = "/usr/bin/iperf3"

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
[ "$1" != bound ] || ip addr add $ip/24 dev $interface
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
    for word in TROUBLE:
        t.check(not re.search(word, text), f"the guest's log has {word!r}")


def page(kernel, vps=1, command="", look=None):
    def run(t):
        worker = guest.worker(vps=vps, more=["--net", "lan"])
        text = t.root(SWITCH + guest.shell(worker) + "; echo ended with $?; vswitch stats lan",
                      puts=[*guest.puts(kernel, initrd(f"network-{kernel}-{vps}", ADDRESS + PAGE + command, kernel)), *PROGRAMS])
        fetched(t, text)
        t.has(text, "ended with 0")
        if look:
            look(t, text)
    return run


for kernel_ in ("6.1", "6.12", "7", "6.1-i386"):
    test(f"network: a guest of {kernel_} gets an address and a page", deadline=600)(page(kernel_))


def queues(t, text):
    t.has(text, "channels: 4\n")
    t.has(text, "again\n")


test("network: with sub-channels for 4 VPs", deadline=900)(page("6.1", 4, """
    until [ "$(ls /sys/class/net/eth0/device/channels | wc -l)" = 4 ]; do usleep 100000; done
    echo "channels: 4"
    for i in 1 2 3 4; do wget -q -O /tmp/page$i http://10.1.0.1/page & done; wait
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


@test("network: two guests reach each other", deadline=900)
def two(t):
    command = ADDRESS + """
        for word in $(cat /proc/cmdline); do case $word in me=*) me=${word#me=};; esac; done
        ip addr add 10.2.0.$me/24 dev eth0
        until ping -c 3 10.2.0.$((3 - me)) >/tmp/ping; do :; done
        echo "reached: $((3 - me))"
        if [ $me = 1 ]; then
            head -c 3000000 /dev/urandom >/tmp/file
            echo "sent: $(md5sum </tmp/file | cut -c 1-32)"
            until nc 10.2.0.2 5000 </tmp/file; do sleep 1; done
        else
            nc -l -p 5000 >/tmp/file
            echo "received: $(md5sum </tmp/file | cut -c 1-32)"
        fi
        # The other may still ask.
        ping -c 1 -w 5 10.2.0.$((3 - me)) >/dev/null
    """
    first, second = (guest.shell(guest.worker(f"guest{me}", vps=1, memory="256M", append=f"me={me}", more=["--net", f"lan,port=p{me}"]))
                     for me in (1, 2))
    text = t.root(SWITCH + f"{first} >one 2>&1 & first=$!; {second} >two 2>&1; echo second ended with $?; wait $first; "
                  "echo first ended with $?; cat one two; vswitch stats lan",
                  puts=[*guest.puts("6.1", initrd("two", command)), *PROGRAMS])
    t.has(text, "first ended with 0")
    t.has(text, "second ended with 0")
    t.same("who was reached", sorted(re.findall(r"reached: (\d)", text)), ["1", "2"])
    t.same("what arrived", re.findall(r"received: (\w+)", text), re.findall(r"sent: (\w+)", text))
    for word in TROUBLE:
        t.check(not re.search(word, text), f"a guest's log has {word!r}")


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
    for word in TROUBLE:
        t.check(not re.search(word, text), f"the guest's log has {word!r}")


@test("network: what cannot be had is said", deadline=300)
def refused(t):
    def run(words):
        return f"{guest.shell(guest.worker(more=['--net', words]))} 2>&1; echo \"=status $?\"\n"
    text = t.root(run("lan") + SWITCH + run("wan") + run("lan,port=host"), puts=[*guest.puts(), *PROGRAMS])
    t.same("statuses", re.findall(r"=status (\d+)", text), ["2"] * 3)
    t.has(text, "--net lan: /run/vswitchd.ports: No such file or directory; is vswitchd running")
    t.has(text, "there is no switch \"wan\"")
    t.has(text, "port \"host\" is in use")


IPXE = "/boot/ipxe.lkrn"  # of the package ipxe


@test("network: iPXE gets an address by NAT, a kernel by HTTP and its initrd by TFTP, and starts them", deadline=900)
def ipxe(t):
    """Its netvsc speaks VMBus 0.13, whose signals go by a page, and NVSP 1."""
    server = "192.0.2.1"
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
                        ("/usr/sbin/dnsmasq", "/usr/bin/dnsmasq"), (os.path.join(BUILD, "switch", "vnat"), "/usr/bin/vnat"), *PROGRAMS])
    t.check(re.search(rf"http://{server}/vmlinuz\.\.\.[^:]* ok\s+tftp://{server}/initrd\.\.\.[^:]* ok", text), "iPXE did not fetch both")
    t.has(text, "started\n")
    for word in TROUBLE:
        t.check(not re.search(word, text), f"the guest's log has {word!r}")
