"""A machine that moves from one worker to another while its guest works: nothing of memory and disk is lost, time does not go backwards, and whatever
ends in the middle, it runs on exactly one side."""
import re

from harness import VHD, guest, kernels, test
from network_tests import ADDRESS, PROGRAMS, SWITCH
from save_tests import DRIVERS, ROUND

# Two that write memory and look at it, one that writes its disk and reads that back, and fetches a page; what they tell is numbered.
GUEST = ADDRESS + """
    until [ -b /dev/sda ]; do usleep 100000; done
    fetch() { wget -q -O - http://10.1.0.1/small | md5sum; }
    page=$(fetch)
    look() { # FILE: it is written anew, and its sum is what it was when it was written
        while :; do
            dd if=/dev/urandom of=$1 bs=64k count=32 2>/dev/null
            sum=$(md5sum <$1); cp $1 $1.2
            [ "$sum" = "$(md5sum <$1.2)" ] || echo "lost: memory of $1"
        done
    }
    look /a & look /b &
    n=0
    while :; do
        n=$((n + 1))
""" + ROUND + """
        [ "$page" = "$(fetch)" ] || echo "lost: page $n"
        echo "tick $n $(cut -d' ' -f1 /proc/uptime)"
        usleep 100000
    done"""

# Shell functions of the root. A side is a control socket; the machine is at one of them.
STEPS = """
    here=left there=right count=10
    start() { # SIDE OPTION...; what its guest says is in out.N
        side=$1; shift; rm -f $side; count=$((count + 1))
        WORKER --control /root/$side "$@" 2>>errors & eval pid_$side=$!
        until [ -S $side ]; do kill -0 $! || return 1; usleep 50000; done
    }
    pid() { eval echo \\$pid_$1; }
    ticks() { # N: so many more of them
        before=$(cat out.* | grep -c ^tick)
        until [ $(cat out.* | grep -c ^tick) -ge $((before + $1)) ]; do kill -0 $(pid $here) || return 1; usleep 100000; done
    }
    receive() { rm -f move; start $there --net ${net:-lan} --receive /root/move "$@"; until [ -S move ]; do kill -0 $(pid $there) || return 1; usleep 50000; done; }
    over() { old=$here; here=$there; there=$old; } # the machine has changed sides
    move() {
        receive || return 1
        vmctl $here migrate /root/move || return 1
        wait $(pid $here); echo "left: $?"
        over; ticks 3
    }
"""


def prepare(name, vps):
    initrd = guest.initrd(name, GUEST, kernels.get("6.1"), [*DRIVERS, "hv_netvsc", "hv_balloon"])
    worker = guest.worker("moved", memory="128M", vps=vps, serial="file:OUT", more=["--disk", "/root/a.vhdx", "--memory-minimum", "64M"])
    steps = SWITCH + "head -c 50000 /dev/urandom >www/small\n" + STEPS.replace("WORKER", guest.shell(worker).replace("file:OUT", "file:/root/out.$count"))
    return (steps + "vhd create a.vhdx 64M >/dev/null && start left --net lan && ticks 3 || exit 1\n",
            [*guest.puts(path=initrd), *PROGRAMS, VHD])


END = """
    vmctl $here off; wait $(pid $here)
    cat out.* errors; vhd test a.vhdx"""


def judge(t, text):
    t.check("lost" not in text, "the guest lost something")
    ticks = [(int(n), float(up)) for n, up in re.findall(r"^tick (\d+) (\S+)\r?$", text, re.M)]
    t.same("the ticks' numbers", [n for n, _ in ticks], list(range(1, len(ticks) + 1)))
    for (_, before), (n, after) in zip(ticks, ticks[1:]):
        t.check(before < after, f"tick {n}: uptime {before} and then {after}")
    t.has(text, "No damage found")
    t.calm(text)


@test("migrate: a guest of 2 VPs moves between two workers 3 times; refused, in between too, cancelled and cut it stays", deadline=900)
def moves(t):
    steps, puts = prepare("migrate", 2)
    text = t.root(steps + f"""
        for i in 1 2 3; do move || exit 1; done
        receive --vps 3; vmctl $here migrate /root/move; echo "unlike: $?"; wait $(pid $there); echo "its target: $?"; ticks 2 || exit 1
        net=none receive; vmctl $here migrate /root/move; echo "late: $?"; wait $(pid $there); ticks 2 || exit 1
        receive; vmctl --no-wait $here migrate /root/move; usleep 300000
        vmctl $here cancel $(vmctl $here jobs | grep running | cut -d' ' -f1); wait $(pid $there); echo "target of one that was cancelled: $?"; ticks 2 || exit 1
        receive; vmctl --no-wait $here migrate /root/move; usleep 300000
        kill -9 $(pid $there); wait $(pid $there); echo "target that was killed: $?"; ticks 2 || exit 1
        move || exit 1
        {END}""", puts=puts)
    judge(t, text)
    moved = re.findall(r"^moved in (\d+) rounds: (\d+) pages, (\d+) bytes; the guest stood for (\S+) ms", text, re.M)
    t.same("moves", len(moved), 4)
    t.same("workers that it left", len(re.findall(r"^left: 9$", text, re.M)), 4)
    for line in moved:
        print("rounds {}, pages {}, bytes {}, downtime {} ms".format(*line))
    t.has(text, "2 VPs there, 3 here")
    t.has(text, "unlike: 1")
    t.has(text, "a switch does not give it its port")
    t.has(text, "late: 1")
