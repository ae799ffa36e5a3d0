"""Sockets between a guest and the root (hv_sock), with the guest's own driver."""
import hashlib
import os
import re

from harness import BUILD, guest, kernels, random_file, test
from labkit import programs, ssh

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
        # As a socket unit of systemd's does, for each who connects.
        sshd) chroot /mnt /bin/socat VSOCK-LISTEN:22,fork EXEC:'/bin/sshd -i',nofork & ;;
        *) hvsock $word $rest ;;
        esac
        echo "guest: $word is over with $?"
    done"""
# Debian's own programs, from a disk.
SOCAT = """
    set -- /sys/bus/scsi/devices/*:0:0:0/block/*
    until [ -e "$1" ]; do usleep 100000; set -- /sys/bus/scsi/devices/*:0:0:0/block/*; done
    mkdir -p /mnt
    mount -t ext4 -o ro /dev/${1##*/} /mnt
    mount -t devtmpfs dev /mnt/dev
    mkdir -p /mnt/dev/pts
    mount -t devpts pts /mnt/dev/pts
    mount -t tmpfs run /mnt/run
    mkdir /mnt/run/sshd
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
    hvsock echo unix:/root/box_7000 &
"""


def sockets(kernel, more="", drivers=(), disks=(), options=(), commands="", puts=()):
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
            """, puts=[*guest.puts(kernel, initrd), VMCTL, (PROGRAM, "/usr/bin/hvsock"), *puts], disks=list(disks))
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

# Before a guest's end: messages, a file and 200 connections are under way; after it, what their programs say.
BUSY = """
            hvsock messages unix:/root/box:5000 100000000 >messages & messages=$!
            hvsock hold unix:/root/box:5000 200 >held & held=$!
            hvsock pipe unix:/root/box:5000 </dev/vdb >part & part=$!
            until grep -q "at once" held && grep -q "under way" messages && [ -s part ]; do kill -0 $worker || exit 1; usleep 100000; done"""
ENDED = """
            wait $messages $held $part
            sed 's/^/WHEN: /' messages held
            echo "WHEN: $(($(wc -c <part) < $(cat /sys/block/vdb/size) * 512)) file ended early"
            rm part"""

ALL = """
            refused() { if "$@" 2>&1; then exit 1; fi; }
            # Where nobody is there that takes ten seconds.
            (refused vmctl control connect 5999) >nobody & others=$!
            (refused vmctl control connect tea) >nothing & others="$others $!"
            printf 'echo "shell: $((6 * 7)) on $(uname -m)"\n' | vmctl control shell >shell & others="$others $!"
            refused ask pipe vsock:7999
            echo "by echo: $(hvsock pipe unix:/root/box:5000 </dev/vdb | openssl dgst -sha256 -r)"
            for other in $others; do wait $other || exit 1; done
            cat nobody nothing shell
            ask sshd || exit 1
            until vmctl control connect 22 </dev/null | grep SSH-; do kill -0 $worker || exit 1; done
            chmod 600 key
            login() { vmctl control shell -F none -i key -o BatchMode=yes -o UserKnownHostsFile=/root/known "$@"; }
            login -o StrictHostKeyChecking=accept-new '/bin/busybox printf "ssh: %d on %s\n" $((6 * 7)) "$(/bin/busybox uname -m)"'
            cut -d' ' -f1 known | sed 's/^/ssh knows: /'
            head -c 3000000 /dev/urandom >some
            login '/bin/busybox cat' <some | cmp - some && echo "ssh: the bytes came back"
            printf '/bin/busybox tty | /bin/busybox sed "s/^/ssh has /"; exit 7\n' | login -tt; echo "ssh: ended with $?"
            echo "some: $(sha256sum <some)"
            echo "by socat: $(hvsock pipe unix:/root/box:5001 <some | sha256sum)"
            echo "by vmctl: $(echo hello | vmctl control connect 5000)"
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
            """ + BUSY + """
            vmctl control reset""" + ENDED.replace("WHEN", "reset") + """
            seen "listens at vsock:5000" 3
            hvsock messages unix:/root/box:5000 100 || exit 1
            """ + BUSY + """
            kill -9 $worker""" + ENDED.replace("WHEN", "worker killed")


def both_ways(t, text, count, many):
    for wanted in (f"hvsock: {count} messages came back", f"hvsock: {many} connections at once"):
        t.same(f"{wanted}, each way", len(re.findall(f"^{wanted}$", text, re.M)), 2)


@test("socket: 100,000 messages, 200 connections, 256 MiB each way, ssh; either side killed; a reset and the worker's end amidst all that (6.1)",
      deadline=1800)
def everything(t):
    count, many, key = 100000, 200, t.path("key")
    big = random_file(t.path("big"), 256 << 20)
    with open(big, "rb") as file:
        sent = hashlib.file_digest(file, "sha256").hexdigest()
    ssh.make_key(key)

    def more(tree):
        programs.add(tree, ssh.server(), "sshd")
        ssh.settings(tree, key)

    disk = programs.disk("socat", [("socat", "socat")], more)
    text = sockets("6.1", SOCAT, ["hv_storvsc", "sd_mod", "ext4"], [disk, big], ["--disk", "/dev/vda,ro"],
                   EACH_WAY.format(count=count, many=many) + ALL,
                   [(ssh.client(), "/usr/bin/ssh"), (key, "/root/key"), (programs.program("openssl", "openssl"), "/usr/bin/openssl")])(t)
    both_ways(t, text, count, many)
    sums = dict(re.findall(r"^(by echo|some|by socat): ([0-9a-f]{64})", text, re.M))
    t.same("the large file by the echo", sums["by echo"], sent)
    t.same("the small one by socat", sums["by socat"], sums["some"])
    for line in ("by vmctl: hello", "5999: nobody listens there in the guest", "tea: nobody listens there in the guest", "hvsock: vsock:7999: ",
                 "shell: 42 on x86_64", "ssh: 42 on x86_64", "ssh knows: box", "ssh: the bytes came back", "ssh has /dev/pts/",
                 "ssh: ended with 7", "guest killed: hvsock: the flood has ended"):
        t.has(text, line)
    for when in ("reset", "worker killed"):
        for line in ("the echo ended", f"hvsock: {many} connections have ended", "1 file ended early"):
            t.check(re.search(rf"^{when}: .*{line}", text, re.M), f"{when}: no {line!r}")


def each_way(kernel):
    @test(f"socket: messages and connections each way ({kernel})", deadline=900)
    def run(t):
        both_ways(t, sockets(kernel, commands=EACH_WAY.format(count=1000, many=20))(t), 1000, 20)


for kernel_ in ("6.12", "7"):
    each_way(kernel_)
