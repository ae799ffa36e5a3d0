"""Integration services: shutdown, heartbeat and time, in stock guests."""
import os
import re

from harness import BUILD, guest, kernels, test

DRIVERS = ["hv_vmbus", "hv_utils"]
PROGRAMS = [os.path.join(BUILD, "tests", "system", "clock")]
VMCTL = (os.path.join(BUILD, "cli", "vmctl"), "/usr/bin/vmctl")

# What the kernel runs when it is asked, and says so on the console.
END = """
    mkdir -p /sbin
    for how in poweroff reboot; do
        printf '#!/bin/sh\\necho "guest: in order, %s" >/dev/console\\nexec /bin/busybox %s -f\\n' $how $how >/sbin/$how
        chmod 755 /sbin/$how
    done
    dmesg | grep hv_utils
"""
READY = """
    echo "guest: services ready"
    while :; do sleep 60; done"""

# The answer to "clock" on the console is how far the guest's clock is from the host's.
CLOCK = """
    echo "guest: services ready"
    while read -r word; do
        [ "$word" = clock ] && clock
    done"""

HOST = """
    until [ -S control ]; do kill -0 $worker || exit 1; usleep 100000; done
    seen() { until grep -q "$1" out; do kill -0 $worker || exit 1; usleep 300000; done; }
    contacted() { until vmctl control services | grep -q "^$1 .*version"; do kill -0 $worker || exit 1; usleep 300000; done; }
    refused() { "$@" 2>&1 && exit 1; }
"""


def puts(t, kernel, command, programs=()):
    architecture = "i386" if kernel.endswith("i386") else "amd64"
    initrd = guest.initrd(f"integration-{os.path.basename(t.folder.name)}", END + command, kernels.get(kernel), DRIVERS, architecture,
                          programs)
    return [*guest.puts(kernel, initrd), VMCTL]


def services(kernel):
    @test(f"integration: {kernel} is in contact, is switched off and on, restarts and ends in order", deadline=900)
    def run(t):
        worker = guest.shell(guest.worker("box", more=["--control", "/root/control"]))
        text = t.root(f"""
            {worker} </dev/null >out 2>&1 & worker=$!
            {HOST}
            refused vmctl control shutdown
            seen "services ready"
            for name in shutdown heartbeat time; do contacted $name; done
            until vmctl control services | grep -q '^heartbeat .*answered.*heartbeat ok'; do sleep 1; done
            vmctl control services heartbeat off
            refused vmctl control services tea off
            vmctl control services | grep heartbeat
            vmctl control services heartbeat on
            contacted heartbeat
            vmctl control services
            vmctl control shutdown --reboot || exit 1
            vmctl control status | grep resets
            until [ $(grep -c "services ready" out) = 2 ]; do kill -0 $worker || exit 1; usleep 300000; done
            contacted shutdown
            vmctl control events >events &
            vmctl control shutdown --force || exit 1
            wait $worker; echo "worker: $?"
            sleep 1
            sed 's/^/event /' events
            cat out""", puts=puts(t, kernel, READY))
        t.has(text, "the guest cannot be asked to shut down: the guest has not opened its channel")
        t.has(text, "heartbeat  off: it is switched off")
        t.has(text, "1 resets")
        t.has(text, "worker: 0")
        t.has(text, "guest: in order, reboot")
        t.has(text, "guest: in order, poweroff")
        for version in ("Heartbeat IC version 3.0", "Shutdown IC version 3.2", "TimeSync IC version 4.0"):
            t.has(text, version)
        t.check(re.search(r"^event .* shutdown *done", text, re.M), "no event says that the shutdown is done")
        t.check("dropped" not in text, "an answer of the guest's was taken for a wrong one")


for kernel_ in ("6.1", "6.12", "6.1-i386", "7"):
    services(kernel_)


@test("integration: the guest's clock is the host's within a millisecond: after a boot, a pause and a step of the host's", deadline=900)
def clock(t):
    worker = guest.shell(guest.worker("box", more=["--control", "/root/control"]))
    text = t.root(f"""
        mkfifo keys
        {worker} <keys >out 2>&1 & worker=$!
        exec 3>keys
        {HOST}
        looks=0
        look() {{
            looks=$((looks + 1))
            echo clock >&3
            until [ $(grep -c "^clock:" out) = $looks ]; do kill -0 $worker || exit 1; usleep 300000; done
            echo "$1 $(grep "^clock:" out | tail -1)"
        }}
        seen "services ready"
        contacted time
        sleep 1
        look boot
        vmctl control pause || exit 1
        sleep 7
        vmctl control resume || exit 1
        sleep 1
        look pause
        date -s "@$(($(date +%s) - 100000))"
        sleep 1
        look back
        date -s "@$(($(date +%s) + 100017))"
        sleep 1
        look forth
        vmctl control shutdown || exit 1
        wait $worker; echo "worker: $?"
        cat out""", puts=puts(t, "6.1", CLOCK, PROGRAMS))
    t.has(text, "worker: 0")
    for when in ("boot", "pause", "back", "forth"):
        match = re.search(rf"^{when} clock: (-?\d+) seconds and (-?\d+) ns ahead, seen within (\d+) ns", text, re.M)
        t.check(match, f"no clock after {when}")
        seconds, rest, within = map(int, match.groups())
        t.check(seconds == 0 and abs(rest) < 1000000 + within // 2, f"after {when}: {match[0]}")
