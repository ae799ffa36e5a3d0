"""Sockets between a guest and the root (hv_sock), with the guest's own driver; and both they and dynamic memory amid a guest's end."""
import hashlib
import os
import re

from harness import BUILD, guest, kernels, random_file, test
from labkit import programs, ssh

PROGRAM = os.path.join(BUILD, "tests", "system", "hvsock")
PROGRAM_I386 = os.path.join(BUILD, "tests", "system", "i386", "hvsock")
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
        reboot) reboot -f ;;
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


def sockets(kernel, more="", drivers=(), disks=(), options=(), commands="", puts=(), memory="512M"):
    def run(t):
        worker = guest.shell(guest.worker("box", memory=memory, more=["--vsock", "/root/box", "--control", "/root/control", *options]))
        architecture, program = ("i386", PROGRAM_I386) if kernel.endswith("i386") else ("amd64", PROGRAM)
        initrd = guest.initrd(f"socket-{kernel}", more + SERVE + WORDS, kernels.get(kernel), ["hv_vmbus", "hv_sock", *drivers], architecture,
                              [program])
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
            kill $worker 2>/dev/null
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
            rm -f {name}
            hvsock flood {where} >{name} & flood=$!
            until grep -qs "under way" {name}; do kill -0 $worker || exit 1; usleep 100000; done"""

# Before a guest's end: messages, connections and a file, or bytes without end, are under way; after it, what their programs say.
CALLS = """
            rm -f messages held
            hvsock messages unix:/root/box:5000 100000000 >messages & messages=$!
            hvsock hold unix:/root/box:5000 {many} >held & held=$!
            until grep -qs "at once" held && grep -qs "under way" messages; do kill -0 $worker || exit 1; usleep 100000; done"""
BUSY = CALLS.format(many=200) + """
            hvsock pipe unix:/root/box:5000 </dev/vdb >part & part=$!
            until [ -s part ]; do kill -0 $worker || exit 1; usleep 100000; done"""
CALLED = """
            wait $messages $held
            sed 's/^/WHEN: /' messages held"""
ENDED = CALLED + """
            wait $part
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
    calls_ended(t, text, many)
    for when in ("reset", "worker killed"):
        t.has(text, f"{when}: 1 file ended early")


def calls_ended(t, text, many):
    for when in ("reset", "worker killed"):
        for line in ("the echo ended", f"hvsock: {many} connections have ended"):
            t.check(re.search(rf"^{when}: .*{line}", text, re.M), f"{when}: no {line!r}")


@test("socket: messages and connections each way (7)", deadline=900)
def each_way(t):
    both_ways(t, sockets("7", commands=EACH_WAY.format(count=1000, many=20))(t), 1000, 20)


# Files that are filled, looked at and removed, in memory that comes and goes.
FILL = """
    echo 0 >/sys/module/hv_balloon/parameters/pressure_report_delay
    dd if=/dev/urandom of=/pattern bs=1M count=4 2>/dev/null
    mkdir /fill
    mount -t tmpfs fill /fill
    (while sleep 1; do
        for file in a b c d e f; do cp /pattern /fill/$file & done
        wait
        for file in a b c d e f; do cmp /pattern /fill/$file || echo "guest: lost"; done
        rm /fill/*
        echo "guest: filled"
    done) &
"""

# The guest is led to less memory and to more while sockets are busy. When it has just been asked for memory it starts again, and the worker ends.
AMIDST = EACH_WAY + """
            has() { vmctl control memory | sed -n "s/^$1 *\\([0-9]*\\) .*/\\1/p"; }
            until_has() { until [ "$(has assigned)" = $1 ]; do kill -0 $worker || exit 1; usleep 300000; done; }
            lead() { vmctl control memory $1M >/dev/null || exit 1; until_has $1; }
            fills() { seen "guest: filled" $(($(grep -c "guest: filled" out) + 2)); }
            begin() {""" + CALLS + FLOOD.format(where="unix:/root/box:5000", name="flooded") + """
                lead 272
                fills
                lead 320
                vmctl control memory 272M >/dev/null || exit 1
            }
            ended() {""" + CALLED.replace("WHEN", "$1").replace("'", '"') + """
                wait $flood
                sed "s/^/$1: /" flooded
            }
            for start in $(seq {starts}); do
                begin
                {moment}
                echo reboot >&3
                ended reset
                seen "listens at vsock:5000" $((start + 1))
                hvsock messages unix:/root/box:5000 100 || exit 1
                until_has 272
                fills
            done
            begin
            kill -9 $worker
            ended "worker killed"
            wait $worker
            for name in partitions pinned; do echo "held: $(cat /sys/module/mshv_vd/parameters/$name) $name"; done
"""


def amidst(kernel, name, starts, moment, soak, count=1000, many=20):
    @test(f"socket, memory: {name} ({kernel})", deadline=1800 * starts, soak=soak)
    def run(t):
        commands = AMIDST
        for word, value in (("count", count), ("many", many), ("starts", starts), ("moment", moment)):
            commands = commands.replace(f"{{{word}}}", str(value))
        text = sockets(kernel, FILL, ["hv_balloon"], options=["--memory-minimum", "256M"], memory="320M", commands=commands)(t)
        both_ways(t, text, count, many)
        calls_ended(t, text, many)
        t.same("floods that the guest's end has ended", len(re.findall("^(reset|worker killed): hvsock: the flood has ended", text, re.M)), starts + 1)
        t.check("guest: lost" not in text, "the guest's memory is not what it was")
        t.same("held of the worker that was killed", re.findall("^held: (.*)", text, re.M), ["0 partitions", "0 pinned"])


amidst("6.12", "each way, led to less and more; started again and the worker's end amidst all that", 1, "", False)
for kernel_ in ("6.1", "6.12", "6.1-i386", "7"):
    amidst(kernel_, "started again ten times at any moment", 10, "usleep $((RANDOM * 60))", True, 2000, 40)
