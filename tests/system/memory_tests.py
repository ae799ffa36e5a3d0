"""Dynamic memory, with the guest's own driver: what it gives back is the root's."""
import os
import re

from harness import BUILD, guest, kernels, test

VMCTL = (os.path.join(BUILD, "cli", "vmctl"), "/usr/bin/vmctl")

# Its reports begin at once; words on the console have it use its memory.
COMMAND = """
    dmesg -n 1
    echo 0 >/sys/module/hv_balloon/parameters/pressure_report_delay
    mkdir -p /fill
    echo "guest: memory ready"
    while read -r size; do
        mount -t tmpfs -o size=100% fill /fill
        head -c $((size << 20)) /dev/urandom >/fill/a
        cp /fill/a /fill/b
        cmp /fill/a /fill/b && echo "guest: $size filled"
        umount /fill
    done"""

HOST = """
    until [ -S control ]; do kill -0 $worker || exit 1; usleep 100000; done
    seen() { until [ $(grep -c "$1" out) -ge ${2:-1} ]; do kill -0 $worker || exit 1; usleep 300000; done; }
    has() { vmctl control memory | sed -n "s/^$1 *\\([0-9]*\\) .*/\\1/p"; }
    until_is() { until [ "$(has $1)" $2 $3 ] 2>/dev/null; do kill -0 $worker || exit 1; usleep 300000; done; }
    available() { echo "$1: $(($(sed -n 's/^MemAvailable: *\\([0-9]*\\) .*/\\1/p' /proc/meminfo) / 1024)) MiB available"; }
"""


@test("memory: a guest's balloon is the root's, and the guest's again; saved, restored, reset in between", deadline=900)
def memory(t):
    worker = guest.shell(guest.worker("box", more=["--memory-minimum", "256M", "--control", "/root/control"]))
    initrd = guest.initrd("memory-6.1", COMMAND, kernels.get("6.1"), ["hv_vmbus", "hv_balloon"])
    text = t.root(f"""
        mkfifo keys
        {worker} <keys >out 2>&1 & worker=$!
        exec 3>keys
        {HOST}
        vmctl control memory
        seen "memory ready"
        until vmctl control memory | grep -q pressure; do kill -0 $worker || exit 1; usleep 300000; done
        vmctl control memory
        available before
        vmctl control memory 320M || exit 1
        until_is assigned -eq 320
        available less
        vmctl control memory | sed 's/^/less: /'
        vmctl control save state || exit 1
        wait $worker; echo "saved: $?"
        rm control
        {worker} --restore /root/state <keys >>out 2>&1 & worker=$!
        until [ -S control ]; do kill -0 $worker || exit 1; usleep 100000; done
        until_is returned -ge 150
        vmctl control memory | sed 's/^/restored: /'
        echo 40 >&3
        seen "40 filled"
        vmctl control memory 512M || exit 1
        until_is assigned -eq 512
        until_is returned -eq 0
        available again
        echo 150 >&3
        seen "150 filled"
        vmctl control memory 384M || exit 1
        until_is assigned -eq 384
        vmctl control reset
        seen "memory ready" 2
        echo 150 >&3
        seen "150 filled" 2
        vmctl control memory | sed 's/^/reset: /'
        vmctl control memory 1T || exit 1
        vmctl control off
        wait $worker; echo "worker: $?"
        cat out""", puts=[*guest.puts("6.1", initrd), VMCTL])
    mib = {when: int(size) for when, size in re.findall(r"^(\w+): (\d+) MiB available", text, re.M)}
    returned = int(re.search(r"^less: returned *(\d+) MiB", text, re.M)[1])
    t.check(returned >= 150, f"of 192 MiB in the balloon the root has {returned}")
    t.check(mib["less"] - mib["before"] >= returned - 30, f"the root's available memory: {mib}")
    t.check(mib["less"] - mib["again"] >= returned - 30, f"the root's available memory: {mib}")
    t.has(text, "saved: 8")
    t.check(re.search(r"^restored: assigned *320 MiB", text, re.M), "what the guest has after it was restored")
    t.has(text, "it has no driver for it, or has not loaded it yet")
    t.has(text, "worker: 6")
