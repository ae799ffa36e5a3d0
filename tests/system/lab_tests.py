"""The lab's own word: what it says of a machine that hangs."""
import hashlib
import re

from harness import guest, test
from hostile_tests import put


@test("lab: a machine that hangs tells what its hypervisor is doing", deadline=400)
def hangs(t):
    t.root(guest.shell(guest.program("/root/hostile.elf", "spin")), puts=put("hostile"), late="hostile: spinning", ends="timeout")
    state = "\n".join(t.runs[-1][0].registers)
    for lp in (0, 1):
        t.check(re.search(rf"^LP {lp}: .*root=1:{lp}", state, re.M), f"no LP {lp}")
        t.check(re.search(rf"^  VP 1:{lp}: .*lock=held", state, re.M), f"no VP {lp} of the root, with its lock")
    child = re.search(r"^partition (?!1:)(\d+): .*PARTITION_INITIALIZED.*vp_count=1", state, re.M)
    t.check(child, "no child")
    t.check(re.search(rf"^  VP {child[1]}:0: .*activity=VP_ACTIVE", state, re.M), "no VP of the child, or not active")
    t.check("not to be had" not in state, "something could not be read")


@test("lab: a command on a person's terminal ends, and its status is known", bare=True)
def interactive(t):
    t.has(t.root("tty; echo last; exit 3", interactive=True, status=3), "last")


@test("lab: a large file comes whole, though the machine ends behind it", bare=True)
def large(t):
    text = t.root("dd if=/dev/urandom of=/root/large bs=1M count=16 2>/dev/null; md5sum /root/large", gets=[("/root/large", t.path("large"))])
    with open(t.path("large"), "rb") as file:
        t.has(text, hashlib.md5(file.read()).hexdigest())
