"""Dynamic memory, with the guest's own driver: what it gives back is the root's."""
import os
import re

from harness import BUILD, guest, kernels, test

VMCTL = (os.path.join(BUILD, "cli", "vmctl"), "/usr/bin/vmctl")
VMBALANCE = (os.path.join(BUILD, "cli", "vmbalance"), "/usr/bin/vmbalance")

# Its reports begin at once, and what is added is used at once; words on the console have it use its memory, until the next.
COMMAND = """
    dmesg -n 1
    echo 0 >/sys/module/hv_balloon/parameters/pressure_report_delay
    echo online >/sys/devices/system/memory/auto_online_blocks
    mkdir -p /fill
    dd if=/dev/urandom of=/pattern bs=1M count=8 2>/dev/null
    sum=$(md5sum </pattern)
    (while sleep 3; do [ "$sum" = "$(md5sum </pattern)" ] || echo "guest: lost"; done) &
    echo "guest: memory ready"
    available() { sed -n 's/^MemAvailable: *\\([0-9]*\\) .*/\\1/p' /proc/meminfo; }
    while read -r size; do
        umount /fill 2>/dev/null
        mount -t tmpfs -o size=4G fill /fill
        for at in $(seq $((size / 8))); do
            until [ $(available) -gt 30000 ]; do usleep 300000; done
            dd if=/pattern of=/fill/a bs=8M seek=$((at - 1)) conv=notrunc 2>/dev/null
        done
        for at in $(seq 1 5 $((size / 8))); do
            dd if=/fill/a bs=8M skip=$((at - 1)) count=1 2>/dev/null | cmp - /pattern || echo "guest: lost"
        done
        echo "guest: $size filled"
    done"""

HOST = """
    until [ -S control ]; do kill -0 $worker || exit 1; usleep 100000; done
    seen() { until [ $(grep -c "$1" out) -ge ${2:-1} ]; do kill -0 $worker || exit 1; usleep 300000; done; }
    has() { vmctl control memory | sed -n "s/^$1 *\\([0-9]*\\) .*/\\1/p"; }
    until_is() { until [ "$(has $1)" $2 $3 ] 2>/dev/null; do kill -0 $worker || exit 1; usleep 300000; done; }
    show() { echo "$1: $(($(sed -n 's/^MemAvailable: *\\([0-9]*\\) .*/\\1/p' /proc/meminfo) / 1024)) MiB available, $(has returned) returned"; }
"""


@test("memory: a guest has less and more than at its start, the rest is the root's; saved, restored, reset in between", deadline=900)
def memory(t):
    worker = guest.shell(guest.worker("box", memory="256M", more=["--memory-minimum", "192M", "--memory-maximum", "512M", "--control", "/root/control"]))
    # What is restored later is told other bounds than it was started with.
    others = guest.shell(guest.worker("box", memory="300M", more=["--memory-minimum", "272M", "--memory-maximum", "448M", "--control", "/root/control"]))
    initrd = guest.initrd("memory-6.1", COMMAND, kernels.get("6.1"), ["hv_vmbus", "hv_balloon"])
    text = t.root(f"""
        mkfifo keys
        {worker} <keys >out 2>&1 & worker=$!
        exec 3>keys
        {HOST}
        restore() {{ exec {worker} --restore /root/state <keys >>out 2>&1; }}
        again() {{
            rm -f state
            vmctl control save state || exit 1
            wait $worker; echo "saved: $?"
            rm control
            restore & worker=$!
            until [ -S control ]; do kill -0 $worker || exit 1; usleep 100000; done
        }}
        vmctl control memory
        seen "memory ready"
        until vmctl control memory | grep -q pressure; do kill -0 $worker || exit 1; usleep 300000; done
        show before
        # It tells what it does not use.
        until_is returned -ge 70
        show reported
        vmctl control memory 200M || exit 1
        until_is assigned -eq 200
        show less
        again
        vmctl control memory | sed 's/^/restored: /'
        vmctl control memory 384M || exit 1
        until_is assigned -eq 384
        echo 256 >&3; seen "256 filled"
        show more
        restore() {{ exec {others} --restore /root/state <keys >>out 2>&1; }}
        again
        vmctl control memory | sed 's/^/restored with more: /'
        echo 8 >&3; seen " 8 filled"
        # Its bounds are others meanwhile: what it is to have follows.
        vmctl control memory maximum=1G && exit 1
        vmctl control memory minimum=128M maximum=320M || exit 1
        until_is assigned -eq 320
        vmctl control memory 64M minimum=256M maximum=512M | sed 's/^/bounds: /'
        vmctl control memory 1T || exit 1
        until_is assigned -eq 512
        vmctl control memory 192M minimum=192M || exit 1
        vmctl control reset
        seen "memory ready" 2
        echo 80 >&3; seen " 80 filled"
        vmctl control memory | sed 's/^/reset: /'
        vmctl control off
        wait $worker; echo "worker: $?"
        cat out""", puts=[*guest.puts("6.1", initrd), VMCTL])
    mib = {when: (int(size), int(back)) for when, size, back in re.findall(r"^(\w+): (\d+) MiB available, (\d+) returned", text, re.M)}
    t.check(set(mib) == {"before", "reported", "less", "more"}, f"what was shown: {mib}")
    for when in ("reported", "less"):
        gained, returned = (mib[when][i] - mib["before"][i] for i in range(2))
        t.check(gained >= returned - 40, f"the root's available memory: {mib}")
    t.same("saves", text.count("saved: 8"), 2)
    t.check("guest: lost" not in text, "the guest's memory is not what it was")
    for line in ("restored: assigned *200 MiB", "restored with more: assigned *384 MiB", "restored with more: minimum *272 MiB", "restored with more: maximum *448 MiB", "reset: target *192 MiB", "bounds: target *256 MiB"):
        t.check(re.search(f"^{line}", text, re.M), f"no {line!r}")
    t.has(text, "it has no driver for it, or has not loaded it yet")
    t.has(text, "worker: 6")


@test("memory: two guests exchange 512 MiB by vmbalance, which is stopped and started, and keeps the root's reserve", deadline=1200)
def exchange(t):
    initrd = guest.initrd("memory-6.1", COMMAND, kernels.get("6.1"), ["hv_vmbus", "hv_balloon"])
    workers = {name: guest.shell(guest.worker(name, memory="256M", vps=1, more=["--memory-maximum", "1G", "--control", f"/root/{name}"]))
               for name in ("a", "b")}
    text = t.root(f"""
        mkfifo keys-a keys-b
        {workers["a"]} <keys-a >out-a 2>&1 & a=$!
        {workers["b"]} <keys-b >out-b 2>&1 & b=$!
        exec 3>keys-a 4>keys-b
        alive() {{ kill -0 $a && kill -0 $b || exit 1; usleep 500000; }}
        seen() {{ until grep -q "$2" out-$1; do alive; done; }}
        has() {{ vmctl $1 memory | sed -n "s/^assigned *\\([0-9]*\\) .*/\\1/p"; }}
        until_has() {{ until [ "$(has $1)" $2 $3 ] 2>/dev/null; do alive; done; }}
        # What the guests do not use is the root's already, and theirs when they touch it.
        available() {{
            echo $(($(sed -n 's/^MemAvailable: *\\([0-9]*\\) .*/\\1/p' /proc/meminfo) / 1024))
        }}
        for name in a b; do
            seen $name "memory ready"
            until vmctl $name memory | grep -q pressure; do alive; done
        done
        # Of what both have, and the root, 1152 MiB are theirs.
        reserve=$(($(available) + 512 - 1152))
        balance() {{ vmbalance --reserve ${{reserve}}M a b & balance=$!; }}
        show() {{ echo "$1: a has $(has a), b has $(has b), the root has $(($(available) - reserve)) beyond its reserve"; }}
        balance
        show idle
        echo 560 >&3; seen a "560 filled"; show first
        kill $balance; wait $balance
        echo 8 >&3; seen a " 8 filled"; show alone
        balance
        echo 560 >&4; seen b "560 filled"
        until_has a -lt 400; show second
        vmctl a off; wait $a
        vmctl b off; wait $b
        wait $balance; echo "balance: $?"
        cat out-a out-b""", memory=3072, puts=[*guest.puts("6.1", initrd), VMCTL, VMBALANCE])
    seen = {when: tuple(map(int, rest)) for when, *rest in
            re.findall(r"^(\w+): a has (\d+), b has (\d+), the root has (-?\d+) beyond", text, re.M)}
    t.check(seen["first"][0] - seen["idle"][0] >= 400, f"a's program has its memory: {seen}")
    t.same("what a has while nobody leads it", seen["alone"][0], seen["first"][0])
    t.check(seen["alone"][0] - seen["second"][0] >= 400 and seen["second"][1] - seen["idle"][1] >= 400, f"an exchange: {seen}")
    for when in ("first", "second"):
        t.check(seen[when][2] >= -64, f"the root's reserve: {seen}")
    t.check("guest: lost" not in text, "a guest's memory is not what it was")
    t.has(text, "balance: 0")
