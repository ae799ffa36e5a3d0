"""Disks and network cards of the machine work in the root, by MSI and by the IO-APIC, as they do without the hypervisor."""
import hashlib
import socket
import threading

from harness import random_file, test

MIB = 1 << 20
DISKS = {
    "virtio-blk": ("virtio_blk", "vda", ["-device", "virtio-blk-pci,drive=scratch"]),
    "NVMe": ("nvme", "nvme0n1", ["-device", "nvme,serial=scratch,drive=scratch"]),
    "AHCI": ("ahci sd_mod", "sda", ["-device", "ide-hd,drive=scratch"]),
}
CARDS = {"virtio-net": ("virtio_net", "virtio-net-pci"), "e1000e": ("e1000e", "e1000e")}


def disk(name, append):
    drivers, node, device = DISKS[name]

    def run(t):
        image = random_file(t.path("disk"), 8 * MIB)
        before = hashlib.sha256(open(image, "rb").read()).hexdigest()
        text = t.root(f"""
            for driver in {drivers}; do modprobe $driver; done
            n=0; while [ ! -b /dev/{node} ] && [ $n -lt 100 ]; do usleep 100000; n=$((n + 1)); done
            sha256sum </dev/{node}
            dd if=/dev/urandom of=/tmp/new bs=1M count=4 2>/dev/null
            dd if=/tmp/new of=/dev/{node} bs=64k seek=32 conv=notrunc,fsync 2>/dev/null || exit 1
            sha256sum </tmp/new""", root_kernel="6.1-generic", append=append,
            qemu_args=["-drive", f"if=none,id=scratch,format=raw,cache=writethrough,file={image}", *device])
        read, written = [line.split()[0] for line in text.splitlines()]
        t.same("what the root read", read, before)
        with open(image, "rb") as file:
            file.seek(2 * MIB)
            t.same("what the root wrote", hashlib.sha256(file.read(4 * MIB)).hexdigest(), written)
    return run


def serve(listener, body):
    connection = listener.accept()[0]
    connection.sendall(body)
    connection.close()


def receive(listener, into):
    connection = listener.accept()[0]
    while data := connection.recv(65536):
        into.append(data)
    connection.close()


def card(name, append):
    driver, device = CARDS[name]

    def run(t):
        body = open(random_file(t.path("body"), 2 * MIB), "rb").read()
        got = []
        with socket.create_server(("127.0.0.1", 0)) as source, socket.create_server(("127.0.0.1", 0)) as sink:
            threading.Thread(target=serve, args=(source, body), daemon=True).start()
            receiver = threading.Thread(target=receive, args=(sink, got), daemon=True)
            receiver.start()
            text = t.root(f"""
                modprobe {driver}
                n=0; while [ ! -e /sys/class/net/eth0 ] && [ $n -lt 100 ]; do usleep 100000; n=$((n + 1)); done
                ifconfig lo up; ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up; sleep 2
                nc 10.0.2.2 {source.getsockname()[1]} </dev/null >/tmp/body || exit 1
                sha256sum </tmp/body
                nc 10.0.2.2 {sink.getsockname()[1]} </tmp/body""", root_kernel="6.1-generic", append=append,
                qemu_args=["-netdev", "user,id=net", "-device", f"{device},netdev=net"])
            receiver.join(10)
        right = hashlib.sha256(body).hexdigest()
        t.same("what the root received", text.split()[0], right)
        t.same("what the root sent", hashlib.sha256(b"".join(got)).hexdigest(), right)
    return run


for how, words in (("MSI", ""), ("IO-APIC", "pci=nomsi")):
    for name_ in DISKS:
        test(f"root: {name_} by {how}", bare="both")(disk(name_, words))
    for name_ in CARDS:
        test(f"root: {name_} by {how}", bare="both")(card(name_, words))
