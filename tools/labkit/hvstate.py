"""What a hypervisor is doing, for gdb (-x) on its image and a core of its memory (core.py): LPs, partitions, VPs, locks, queues.

Structures are walked by their debugging information, field by field, and what is zero is left out; so there is no list here of what
they have. Only what needs more than a number is named: sets of bits, of vectors, heads of lists.
"""
import re

FLAGS = {"events": "vp_event", "suspend": "vp_suspend"}              # words, and the enumerations of their bits
VECTORS = ("irr", "isr", "tmr", "post", "post_tmr", "auto_eoi", "extint", "notify_eoi", "eoi_done")
LISTS = {"notify_queue": "notify_next"}                              # heads of lists, and the link
MARKERS = {("guest", 1): "asleep"}                                  # what is in a pointer and points to nothing: LP_ASLEEP
PARTS = ("lapic", "synic", "pool", "timer")                          # structures within structures
DULL = re.compile("mtrr|_gpn$|_page$|cpuid|_features$|^(misc_enable|seen|code|gpr|host_save_pa|dr|left|right|up|rank|notify_next)$")
VMCB = ("exit_code", "exit_info_1", "exit_info_2", "interrupt_control", "interrupt_shadow", "event_injection", "rflags", "cpl")
MARK = "--- the hypervisor ---"
NEVER = 2 ** 64 - 1
LONGEST = 256                                                        # of a list: one that has lost its end


def vectors(words):
    """The numbers of the bits that are set."""
    return [32 * i + bit for i, word in enumerate(words) for bit in range(32) if word >> bit & 1]


def bits(value, names):
    """The names of the bits of value; names: {bit: name}."""
    known = [name for bit, name in names.items() if value & bit]
    rest = value & ~sum(names)
    return "|".join(known + ([f"{rest:#x}"] if rest else []))


def number(value):
    return "never" if value == NEVER else str(value) if value < 10 else f"{value:#x}"


def held(following, owner):
    """What a ticket lock's two words say: None, it is free."""
    tickets = (following - owner) & 0xffff
    if not tickets:
        return None
    return "held" if tickets == 1 else f"held, {tickets - 1} wait"


class Reader:
    def __init__(self, gdb):
        self.gdb = gdb

    def enumeration(self, name):
        """{value: name} of an enumeration, without the prefix that all of its names have."""
        fields = self.gdb.lookup_type(f"enum {name}").fields()
        prefix = len(name) + 1
        return {field.enumval: field.name[prefix:] for field in fields}

    def static(self, name):
        """A variable of one file: link-time optimization leaves a declaration without a place beside it."""
        symbols = self.gdb.lookup_static_symbols(name)
        return next(s.value() for s in symbols if s.addr_class == self.gdb.SYMBOL_LOC_STATIC)

    def name(self, pointer):
        """What a pointer to one of our structures points to, or None."""
        kind = pointer.type.strip_typedefs().target().strip_typedefs().name
        if kind == "vp":
            return f"{int(pointer['partition']['id'])}:{int(pointer['index'])}"
        if kind == "vcpu":
            return self.name(pointer["vp"])
        if kind == "partition":
            return f"partition {int(pointer['id'])}"
        if kind == "timer_node":
            return f"first at {number(int(pointer['deadline']))}"
        return f"LP {int(pointer['index'])}" if kind == "lp" else None

    def chain(self, head, link):
        found = []
        while int(head) and len(found) < LONGEST:
            found.append(self.name(head))
            head = head[link]
        return found

    def value(self, name, value):
        """A field's text, or None: there is nothing to say of it."""
        gdb, kind = self.gdb, value.type.strip_typedefs()
        if kind.code == gdb.TYPE_CODE_STRUCT and kind.name == "spinlock":
            return held(int(value["next"]), int(value["owner"]))
        if kind.code == gdb.TYPE_CODE_ENUM:
            return str(value)
        if name in LISTS and kind.code == gdb.TYPE_CODE_PTR:
            return ", ".join(self.chain(value, LISTS[name])) or None
        if kind.code == gdb.TYPE_CODE_PTR:
            return MARKERS.get((name, int(value))) or (self.name(value) if int(value) else None)
        if name in VECTORS and kind.code == gdb.TYPE_CODE_ARRAY:
            return " ".join(f"{n:#x}" for n in vectors([int(value[i]) for i in range(kind.range()[1] + 1)])) or None
        if kind.code not in (gdb.TYPE_CODE_INT, gdb.TYPE_CODE_BOOL) or not int(value):
            return None
        return bits(int(value), self.enumeration(FLAGS[name])) if name in FLAGS else number(int(value) % 2 ** 64)

    def fields(self, value, prefix=""):
        found = []
        for field in value.type.strip_typedefs().fields():
            if field.name in PARTS:
                found += self.fields(value[field], f"{field.name}.")
            elif field.name and not DULL.search(field.name):
                text = self.value(field.name, value[field])
                found += [f"{prefix}{field.name}={text}"] if text else []
        return found

    def vmcb(self, home):
        """What the control block of SVM says of the last exit and of the next entry; that of VMX is the processor's own."""
        try:
            vmcb = home["vmcb"].dereference()
            return [f"    VMCB: {' '.join(f'{name}={number(int(vmcb[name]))}' for name in VMCB if int(vmcb[name]))}"]
        except self.gdb.error:
            return []

    def timers(self, vp):
        """Synthetic timers that are armed, or whose message waits."""
        stimers = vp["stimers"]
        return [f"stimer{i}: {' '.join(self.fields(stimers[i]))}" for i in range(stimers.type.range()[1] + 1)
                if int(stimers[i]["config"])]

    def vp(self, pointer):
        vp, home = pointer.dereference(), pointer["home"].cast(self.gdb.lookup_type("struct vcpu").pointer())
        lines = [f"  VP {self.name(pointer)}: {' '.join(self.fields(vp))}"]
        lines += [f"    {line}" for line in self.timers(vp)]
        return lines + ([f"    home: {' '.join(self.fields(home.dereference()))}", *self.vmcb(home)] if int(home) else [])

    def partition(self, pointer):
        vps = pointer["vps"]
        lines = [f"partition {int(pointer['id'])}: {' '.join(self.fields(pointer.dereference()))}"]
        for i in range(vps.type.range()[1] + 1):
            if int(vps[i]):
                lines += self.vp(vps[i])
        return lines

    def partitions(self):
        slots, lines = self.static("slots"), []
        for i in range(slots.type.range()[1] + 1):
            state = held(int(slots[i]["lock"]["next"]), int(slots[i]["lock"]["owner"]))
            lines += [f"slot {i}: lock {state}"] if state else []
            lines += self.partition(slots[i]["partition"]) if int(slots[i]["partition"]) else []
        return lines

    def lps(self):
        lps = self.gdb.parse_and_eval("lps")
        return [f"LP {i}: {' '.join(self.fields(lps[i].dereference()))}" for i in range(int(self.gdb.parse_and_eval("lp_count")))]

    def locks(self):
        """The locks that are variables, by the names that the linker has for them."""
        lines, kind = [], self.gdb.lookup_type("struct spinlock").pointer()
        symbols = self.gdb.execute("maint print msymbols", to_string=True)
        for address, name in re.findall(r"\] [bBdD] (0x\w+) (\w*lock)\b(?! section \.text)", symbols):
            lock = self.gdb.Value(int(address, 16)).cast(kind).dereference()
            state = held(int(lock["next"]), int(lock["owner"]))
            lines += [f"lock {name} at {address}: {state}"] if state else []
        return lines

    def stacks(self):
        """Where the processors that are in the hypervisor came from."""
        if len(self.gdb.selected_inferior().threads()) == 0:
            return []
        text = self.gdb.execute("thread apply all -ascending -q backtrace 12", to_string=True)
        return [line for line in text.splitlines() if line.startswith("#") and " in ?? ()" not in line and " in lp_boot_block ()" not in line]


def main(gdb):
    gdb.execute("set height 0")
    gdb.execute("set width 0")
    print(MARK)
    reader = Reader(gdb)
    for part in (reader.lps, reader.locks, reader.partitions, reader.stacks):
        try:
            print("\n".join(part()))
        except (gdb.error, StopIteration, KeyError) as error:  # the rest is worth having all the same
            print(f"{part.__name__}: not to be had: {error}")


try:
    import gdb as this_gdb
except ImportError:
    pass  # a test, which has the functions above
else:
    main(this_gdb)
