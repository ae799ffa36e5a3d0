"""A machine that moves from one worker to another while its guest works: nothing of memory and disk is lost, time does not go backwards, and whatever
ends in the middle, it runs on exactly one side."""
import os
import re

from harness import BUILD, VHD, guest, kernels, test
from labkit import nfs
from network_tests import ADDRESS, PROGRAMS, SWITCH
from save_tests import DRIVERS, ROUND
from service_tests import VM, VMMS

VWEB = (os.path.join(BUILD, "web", "vweb"), "/usr/bin/vweb")

LOOK = """
    look() { # FILE: it is written anew, and its sum is what it was when it was written
        while :; do
            dd if=/dev/urandom of=$1 bs=64k count=32 2>/dev/null
            sum=$(md5sum <$1); cp $1 $1.2
            [ "$sum" = "$(md5sum <$1.2)" ] || echo "lost: memory of $1"
        done
    }
"""

# Two that write memory and look at it, one that writes its disk and reads that back, and fetches a page; what they tell is numbered.
GUEST = ADDRESS + """
    until [ -b /dev/sda ]; do usleep 100000; done
    fetch() { rm -f /page; wget -q -O /page http://10.1.0.1/small 2>/said; md5sum </page; }
    page=$(fetch)
""" + LOOK + """
    look /a & look /b &
    n=0
    while :; do
        n=$((n + 1))
""" + ROUND + """
        [ "$page" = "$(fetch)" ] || echo "lost: page $n, of which $(wc -c </page) bytes came: $(cat /said)"
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


def nothing_lost(t, text):
    lost = re.findall(r"^.*lost.*", text, re.M)
    t.check(not lost, f"the guest lost something: {lost[:5]}")


def judge(t, text):
    nothing_lost(t, text)
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


# Either side is killed at any moment, or nobody. Then the machine is at one of them; or, if who was killed had it, at none, and begins anew.
KILLS = """
    rest() { usleep $(($(od -An -N2 -tu2 /dev/urandom) * 60)); } # up to 4 s
    alive() { kill -0 $(pid $1) 2>/dev/null; }
    settle() { # until it is known
        while :; do
            if alive $here; then
                alive $there || vmctl $here jobs | grep -q running || { echo "stayed"; return; }
            elif alive $there; then
                vmctl $there status >/dev/null 2>&1 && { over; echo "went"; return; }
            else
                rm -f left; start left --net lan; here=left; there=right; echo "died"; return
            fi
            usleep 100000
        done
    }
    strike() { # SIDE, or "nobody"
        receive || return 1
        vmctl --no-wait $here migrate /root/move >/dev/null || return 1
        [ $1 = nobody ] || { rest; kill -9 $(pid $1); echo "struck: $1"; }
        settle; wait $(pid $there) 2>/dev/null
        alive $here || return 1
        ticks 2
    }
"""


@test("migrate: a guest moves 20 times, while workers of either side are killed", deadline=3600, soak=True)
def moves_on(t):
    steps, puts = prepare("migrate", 2)
    text = t.root(steps + KILLS + f"""
        for i in 1 2 3 4 5 6 7 8 9 10; do
            strike nobody && strike nobody && strike $there && strike $here || exit 1
        done
        {END}""", puts=puts)
    nothing_lost(t, text)
    outcomes = re.findall(r"^(went|stayed|died)$", text, re.M)
    t.same("moves", len(outcomes), 40)
    t.check(outcomes.count("went") >= 20, f"few went: {outcomes}")
    print(", ".join(f"{outcomes.count(word)} {word}" for word in ("went", "stayed", "died")))
    t.has(text, "No damage found")
    t.calm(text)


# ---- Two hosts ----

# The same looks at memory and disk; and who of the two hosts answers over the switch, which is not the one that it is at.
TRAVELLER = """
    until [ -b /dev/sda ]; do usleep 100000; done
    dmesg -n 4
    until [ -e /sys/class/net/eth0 ]; do usleep 100000; done
    ip addr add 10.9.0.3/24 dev eth0; ip link set eth0 up
""" + LOOK.replace("count=32", "count=8").replace("done\n    }", "    usleep 200000\n        done\n    }") + """
    look /a &
    n=0
    while :; do
        n=$((n + 1))
""" + ROUND + """
        for host in 1 2; do ping -c 1 -W 1 10.9.0.$host >/dev/null 2>&1 && echo "near $host"; done
        echo "tick $n $(cut -d' ' -f1 /proc/uptime)"
        usleep 100000
    done"""

# Each host: an address on the cable, the folder that both have, a switch with the card as its way out, the services, and what the other host needs to ask here.
HOST = """
    modprobe virtio_net || exit 1
    until [ -e /sys/class/net/eth0 ]; do usleep 50000; done
    ip link set lo up; ip addr add 10.9.0.$own/24 dev eth0; ip link set eth0 up
    hostname host$own; echo "127.0.0.1 localhost" >/etc/hosts; echo "hosts: files" >/etc/nsswitch.conf
    for host in 1 2; do echo "10.9.0.$host host$host" >>/etc/hosts; done
SHARED
    [ $own = 1 ] || until [ -e /srv/token.1 ]; do usleep 100000; done
    vswitchd --control /run/vswitchd.control --ports /run/vswitchd.ports 2>>log &
    vmms 2>>log &
    until vm host >/dev/null 2>&1 && vswitch list >/dev/null 2>&1; do usleep 100000; done
    vm add-switch lan --kind external --interface eth0 || exit 1
    vweb --listen 10.9.0.$own:8443 2>>log &
    until grep -q fingerprint log; do usleep 100000; done
    cp /var/lib/verdigris/web/certificate.pem /srv/certificate.$own
    vweb token add mover --user root >/srv/token.new && mv /srv/token.new /srv/token.$own
    until [ -e /srv/token.$other ]; do usleep 100000; done
    mkfifo fifo
    ticks() { # N: so many of them here, on a console of its own
        vm console web <fifo >>seen 2>/dev/null & console=$!
        exec 9>fifo
        before=$(grep -c ^tick seen)
        until [ $(grep -c ^tick seen) -ge $((before + $1)) ]; do kill -0 $console || return 1; usleep 100000; done
        exec 9>&-; kill $console; wait $console
        echo ---- >>seen
    }
    there="--host https://host$other:8443 --token-file /srv/token.$other --certificate /srv/certificate.$other"
    disks() { echo "disks: $(find /srv /root /var/lib/verdigris -name '*.vhdx' | wc -l)"; }
    reached() { until [ -e /srv/$1 ]; do [ ! -e /srv/failed ] || exit 1; usleep 100000; done; }
    trap '[ $? = 0 ] || { touch /srv/failed; sleep 5; cat seen log; vm jobs; cat /var/lib/verdigris/machines/*/worker.log; }' EXIT
"""


def between_hosts(t, folder="/srv", how=""):
    os.mkdir(t.path("nfs"))
    kernel = kernels.get("6.1")
    initrd = guest.initrd("traveller", TRAVELLER, kernel, [*DRIVERS, "hv_netvsc"])
    first = "own=1 other=2\n" + HOST.replace("SHARED", nfs.serve("/srv", "10.9.0.2")) + f"""
        vhd create {folder}/web.vhdx 64M >/dev/null || exit 1
        vm create web --kernel /root/vmlinuz --initrd /root/initrd --append "{guest.CMDLINE}" --memory 96M --vps 1 --disk {folder}/web.vhdx --net lan || exit 1
        vm start web && ticks 2 || exit 1
        vm compare {how} web $there || exit 1
        echo "went: $(vm migrate {how} web $there)" || exit 1
        vm list; disks; touch /srv/there; reached back
        ticks 3 || exit 1
        vm list; vm turn-off web; ls -A /srv; disks; vhd test $(find /srv /root /var/lib/verdigris -name '*.vhdx')
        touch /srv/done; reached bye; sleep 2; cat seen"""
    second = "own=2 other=1\n" + HOST.replace("SHARED", nfs.mount("/srv", "10.9.0.1", "10.9.0.2")) + f"""
        reached there
        ticks 3 || exit 1
        vm list
        echo "went: $(vm migrate {how} web $there)" || exit 1
        vm list; disks; touch /srv/back; reached done
        touch /srv/bye; umount -l /srv; cat seen"""
    texts = t.roots([first, second], lps=1, puts=[*guest.puts(path=initrd), *PROGRAMS, VHD, VMMS, VM, VWEB, *nfs.puts(kernel, t.path("nfs"))])
    for text, near in zip(texts, ("2", "1")):
        nothing_lost(t, text)
        went = re.search(r"^went: moved in (\d+) rounds: (\d+) pages, (\d+) bytes; the guest stood for (\S+) ms", text, re.M)
        t.check(went, "it did not go")
        print("rounds {}, pages {}, bytes {}, downtime {} ms".format(*went.groups()))
        t.same("who answered", set(re.findall(r"^near (\d)\r?$", text, re.M)), {near})
        t.same("where it ran", len(re.findall(r"^web +running", text, re.M)), 1)
        t.calm(text)
    # Here, there, and here again; a line on its way at a move is in two halves.
    here = texts[0].split("----\n")
    t.same("parts", len(here), 3)
    ticks = [(int(n), float(up)) for part in (here[0], texts[1], here[1]) for n, up in re.findall(r"^tick (\d+) (\d+\.\d\d)\r?$", part, re.M)]
    t.check(len(ticks) > 6, f"few ticks: {ticks}")
    for before, after in zip(ticks, ticks[1:]):
        t.check(before[0] < after[0] and before[1] < after[1], f"tick {before} and then {after}")
    t.has(texts[0], "'web' can run there")
    t.has(texts[0], "No damage found")
    t.check(".owner" not in texts[0], "an owner file is left")
    return [re.findall(r"^disks: (\d)", text, re.M) for text in texts]


@test("migrate: between two hosts by vm, there and back, under a guest that writes; the network follows", deadline=900, soak=True)
def shared(t):
    t.same("disks that each host sees after a move", between_hosts(t), [["1", "1"], ["1"]])


@test("migrate: between two hosts by vm with its disk, there and back, under a guest that writes; the network follows", deadline=900, soak=True)
def with_its_disk(t):
    """Which only the host has where the machine runs."""
    t.same("disks that each host has after a move", between_hosts(t, "/root", "--storage"), [["0", "1"], ["0"]])
