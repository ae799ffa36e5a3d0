"""Disks and network cards of the machine, all at once, work in the root: by MSI, by the IO-APIC, and behind each IOMMU."""
import contextlib
import hashlib
import socket
import threading

from harness import IOMMU, random_file, test

MIB = 1 << 20
DISKS = {  # node: drivers, device
    "vda": ("virtio_blk", "virtio-blk-pci,drive={},iommu_platform=on,disable-legacy=on"),
    "nvme0n1": ("nvme", "nvme,serial=scratch,drive={}"),
    "sda": ("ahci sd_mod", "ide-hd,drive={}"),
}
CARDS = {  # driver: device; the driver loaded first has eth0
    "virtio_net": "virtio-net-pci,netdev={},iommu_platform=on,disable-legacy=on",
    "e1000e": "e1000e,netdev={}",
}
# By how their interrupts and DMA go: words for the root's kernel, the machine's.
WAYS = {
    "MSI": ("", []),
    "IO-APIC": ("pci=nomsi", []),
    **{f"MSI, behind {name}": ("", words) for name, words in IOMMU.items()},
}


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def serve(listener, body):
    connection = listener.accept()[0]
    connection.sendall(body)
    connection.close()


def receive(listener, into):
    connection = listener.accept()[0]
    while data := connection.recv(65536):
        into.append(data)
    connection.close()


def try_disk(node):
    drivers = DISKS[node][0]
    return f"""
        for driver in {drivers}; do modprobe $driver; done
        n=0; while [ ! -b /dev/{node} ] && [ $n -lt 100 ]; do usleep 100000; n=$((n + 1)); done
        sha256sum </dev/{node}
        dd if=/dev/urandom of=/tmp/new bs=1M count=4 2>/dev/null
        dd if=/tmp/new of=/dev/{node} bs=64k seek=32 conv=notrunc,fsync 2>/dev/null || exit 1
        sha256sum </tmp/new"""


def try_card(driver, number, source, sink):
    return f"""
        modprobe {driver}
        n=0; while [ ! -e /sys/class/net/eth{number} ] && [ $n -lt 100 ]; do usleep 100000; n=$((n + 1)); done
        ifconfig eth{number} 10.0.{number + 2}.15 netmask 255.255.255.0 up; sleep 2
        nc 10.0.{number + 2}.2 {source.getsockname()[1]} </dev/null >/tmp/body || exit 1
        sha256sum </tmp/body
        nc 10.0.{number + 2}.2 {sink.getsockname()[1]} </tmp/body"""


def devices(words, machine):
    def run(t):
        script, arguments, images, received, receivers = ["ifconfig lo up"], list(machine), {}, {}, []
        for node, (_, device) in DISKS.items():
            images[node] = random_file(t.path(node), 8 * MIB)
            arguments += ["-drive", f"if=none,id={node},format=raw,cache=writethrough,file={images[node]}", "-device", device.format(node)]
            script.append(try_disk(node))
        before = {node: sha256(open(image, "rb").read()) for node, image in images.items()}
        body = open(random_file(t.path("body"), 2 * MIB), "rb").read()
        with contextlib.ExitStack() as stack:
            for number, (driver, device) in enumerate(CARDS.items()):
                source, sink = (stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2))
                received[driver] = []
                threading.Thread(target=serve, args=(source, body), daemon=True).start()
                receivers.append(threading.Thread(target=receive, args=(sink, received[driver]), daemon=True))
                receivers[-1].start()
                arguments += ["-netdev", f"user,id=net{number},net=10.0.{number + 2}.0/24", "-device", device.format(f"net{number}")]
                script.append(try_card(driver, number, source, sink))
            text = t.root("\n".join(script), root_kernel="6.1-generic", append=words, qemu_args=arguments)
            for receiver in receivers:
                receiver.join(10)
        sums = [line.split()[0] for line in text.splitlines()]
        t.same("sums that the root made", len(sums), 2 * len(DISKS) + len(CARDS))
        for node, read, written in zip(DISKS, sums[0::2], sums[1::2]):
            t.same(f"what the root read of {node}", read, before[node])
            with open(images[node], "rb") as file:
                file.seek(2 * MIB)
                t.same(f"what the root wrote to {node}", sha256(file.read(4 * MIB)), written)
        for driver, got in zip(CARDS, sums[2 * len(DISKS):]):
            t.same(f"what the root received by {driver}", got, sha256(body))
            t.same(f"what the root sent by {driver}", sha256(b"".join(received[driver])), sha256(body))
        if not t.bare:
            used = "units hold the root's devices back" in t.console
            t.same("an IOMMU is used", used, bool(machine))
            t.check("is refused to" not in t.console, "the IOMMU refused a device that does nothing wrong")
    return run


# Behind an IOMMU a root alone is no measure: it drives the unit itself, and QEMU's AMD-Vi takes its timer from it.
for name_, (words_, machine_) in WAYS.items():
    test(f"root: its disks and network cards by {name_}", deadline=600, bare=None if machine_ else "both")(devices(words_, machine_))
