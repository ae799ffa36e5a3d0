"""Sockets between a guest and the root (hv_sock), with the guest's own driver."""
import os
import re

from harness import BUILD, guest, kernels, test
from labkit import programs

PROGRAM = os.path.join(BUILD, "tests", "system", "hvsock")
VMCTL = (os.path.join(BUILD, "cli", "vmctl"), "/usr/bin/vmctl")

# An echo at 5000 and a login at 23; words on the console start what else there is.
SERVE = """
    dmesg -n 1 # no line of the kernel's amidst one of ours
    hvsock echo vsock:5000 &
    hvsock serve vsock:23 sh &
"""
WORDS = """
    echo "guest: sockets ready"
    while read -r word rest; do
        case $word in
        killall) killall -9 hvsock ;;
        echo) hvsock echo vsock:5000 & ;;
        flood) hvsock flood vsock:7000 & ;;
        *) hvsock $word $rest ;;
        esac
        echo "guest: $word is over with $?"
    done"""
# Debian's own program, from a disk.
SOCAT = """
    set -- /sys/bus/scsi/devices/*:0:0:0/block/*
    until [ -e "$1" ]; do usleep 100000; set -- /sys/bus/scsi/devices/*:0:0:0/block/*; done
    mkdir -p /mnt
    mount -t ext4 -o ro /dev/${1##*/} /mnt
    mount -t devtmpfs dev /mnt/dev
    chroot /mnt /bin/socat VSOCK-LISTEN:5001,fork EXEC:'/bin/busybox cat' &
"""

HOST = """
    until [ -S control ]; do kill -0 $worker || exit 1; usleep 100000; done
    seen() { until [ $(grep -c "$1" out) -ge ${2:-1} ]; do kill -0 $worker || exit 1; usleep 300000; done; }
    asked=0
    ask() {
        asked=$((asked + 1))
        echo "$*" >&3
        seen "is over with" $asked
        status=$(grep "is over with" out | tail -1 | tr -cd 0-9)
        return $status
    }
    # A guest gives a connection two seconds, and takes that long to forget two hundred others.
    quiet() { until vmctl control status | grep -q "^sockets *0 now"; do kill -0 $worker || exit 1; usleep 100000; done; }
    refused() { "$@" 2>&1 && exit 1; }
    hvsock echo unix:/root/box_7000 &
"""


def sockets(kernel, more="", drivers=(), disks=(), options=(), commands=""):
    def run(t):
        worker = guest.shell(guest.worker("box", more=["--vsock", "/root/box", "--control", "/root/control", *options]))
        initrd = guest.initrd(f"socket-{kernel}", more + SERVE + WORDS, kernels.get(kernel), ["hv_vmbus", "hv_sock", *drivers],
                              programs=[PROGRAM])
        return t.root(f"""
            modprobe virtio_blk 2>/dev/null
            trap 'cat out' EXIT
            mkfifo keys
            {worker} <keys >out 2>&1 & worker=$!
            exec 3>keys
            {HOST}
            seen "sockets ready"
            seen "listens at vsock:5000"
            seen "listens at vsock:23"
            {commands}
            kill $worker
            wait $worker; echo "worker: $?"
            """, puts=[*guest.puts(kernel, initrd), VMCTL, (PROGRAM, "/usr/bin/hvsock")], disks=list(disks))
    return run


EACH_WAY = """
            hvsock messages unix:/root/box:5000 {count} || exit 1
            hvsock many unix:/root/box:5000 {many} || exit 1
            quiet
            ask messages vsock:7000 {count} || exit 1
            ask many vsock:7000 {many} || exit 1
"""

FLOOD = """
            hvsock flood {where} >{name} & flood=$!
            until grep -q "under way" {name}; do kill -0 $worker || exit 1; usleep 100000; done"""

ALL = """
            head -c SIZE /dev/urandom >big
            echo "sent: $(sha256sum <big)"
            echo "by echo: $(hvsock pipe unix:/root/box:5000 <big | sha256sum)"
            echo "by socat: $(hvsock pipe unix:/root/box:5001 <big | sha256sum)"
            echo "by vmctl: $(echo hello | vmctl control connect 5000)"
            refused vmctl control connect 5999
            refused vmctl control connect tea
            refused ask pipe vsock:7999
            printf 'echo "shell: $((6 * 7)) on $(uname -m)"\\n' | vmctl control shell
            vmctl control status | grep sockets
            """ + FLOOD.format(where="unix:/root/box:5000", name="killed") + """
            kill -9 $flood
            hvsock messages unix:/root/box:5000 100 || exit 1
            """ + FLOOD.format(where="unix:/root/box:5000", name="guest-killed") + """
            ask flood || exit 1
            seen "under way"
            ask killall || exit 1
            wait $flood; sed 's/^/guest killed: /' guest-killed
            ask echo || exit 1
            seen "listens at vsock:5000" 2
            hvsock messages unix:/root/box:5000 100 || exit 1
            """ + FLOOD.format(where="unix:/root/box:5000", name="reset") + """
            vmctl control reset
            wait $flood; sed 's/^/reset: /' reset
            seen "listens at vsock:5000" 3
            hvsock messages unix:/root/box:5000 100 || exit 1
            """ + FLOOD.format(where="unix:/root/box:5000", name="worker-killed") + """
            kill -9 $worker
            wait $flood; sed 's/^/worker killed: /' worker-killed"""


def both_ways(t, text, count, many):
    for wanted in (f"hvsock: {count} messages came back", f"hvsock: {many} connections at once"):
        t.same(f"{wanted}, each way", text.count(wanted), 2)


def everything(name, count, megabytes, soak=False):
    @test(name, deadline=900 if not soak else 7200, soak=soak)
    def run(t):
        commands = EACH_WAY.format(count=count, many=200) + ALL.replace("SIZE", str(megabytes << 20))
        text = sockets("6.1", SOCAT, ["hv_storvsc", "sd_mod", "ext4"], [programs.disk("socat", [("socat", "socat")])],
                       ["--disk", "/dev/vda,ro"], commands)(t)
        both_ways(t, text, count, 200)
        sums = dict(re.findall(r"^(sent|by echo|by socat): ([0-9a-f]{64})", text, re.M))
        t.check(len(sums) == 3 and len(set(sums.values())) == 1 and not sums["sent"].startswith("e3b0c442"), f"files are others: {sums}")
        t.has(text, "by vmctl: hello")
        t.has(text, "5999: nobody listens there in the guest")
        t.has(text, "tea: nobody listens there in the guest")
        t.has(text, "hvsock: vsock:7999: ")
        t.has(text, "shell: 42 on x86_64")
        for when in ("guest killed", "reset", "worker killed"):
            t.has(text, f"{when}: hvsock: the flood has ended")


everything("socket: messages, connections and files each way; either side killed; a reset; the worker killed (6.1)", 4000, 4)
everything("socket: the same with 100,000 messages and files of 256 MiB (6.1)", 100000, 256, soak=True)


def each_way(kernel):
    @test(f"socket: messages and connections each way ({kernel})", deadline=900)
    def run(t):
        both_ways(t, sockets(kernel, commands=EACH_WAY.format(count=1000, many=20))(t), 1000, 20)


for kernel_ in ("6.12", "7"):
    each_way(kernel_)
