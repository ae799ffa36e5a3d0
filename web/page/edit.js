// A machine is made, or changed: what the form does not show stays as it is.
import { ask, keyOf, known, pathOf } from "./api.js";
import { h } from "./parts.js";

const field = (label, input, help) => {
  input.id ||= `field-${label.replace(/\W+/g, "-").toLowerCase()}`;
  const small = help ? h("small", { id: `${input.id}-help` }, help) : null;
  if (help) input.setAttribute("aria-describedby", `${input.id}-help`);
  return h("div.field", null, h("label", { htmlFor: input.id }, label), input, small);
};

const choice = (values, value) => h("select", null, values.map(([word, text]) => h("option", { value: word, selected: word === (value ?? "") }, text)));
const text = (value, more) => h("input", { value: value ?? "", autocomplete: "off", ...more });

// A list of things that have parts, each a row.
function rows(legend, word, help, items, make) {
  const place = h("div"), all = [];
  const add = (item) => {
    const part = make(item, all.length);
    const row = h("div.item", { role: "group", "aria-label": `${word} ${all.length}` }, part.element,
      h("button.small", { type: "button", "aria-label": `Take ${word} away`, onclick: () => { all.splice(all.indexOf(part), 1); row.remove(); } }, "Remove"));
    all.push(part);
    place.append(row);
    return row;
  };
  items.forEach(add);
  return { element: h("fieldset", null, h("legend", null, legend), h("p.soft", null, help), place,
    h("button.small", { type: "button", onclick: () => add({}).querySelector("input").focus() }, `Add ${word}`)), value: () => all.map((part) => part.value()).filter(Boolean) };
}

let counter = 0;
const name = (label, input) => { input.id = `part-${++counter}`; return h("div.field", null, h("label", { htmlFor: input.id }, label), input); };

function disk(old) {
  const file = text(old.file), kind = choice([["", "disk"], ["dvd", "DVD"]], old.kind === "dvd" ? "dvd" : ""), controller = choice([["", "SCSI"], ["ide", "IDE"]], old.controller === "ide" ? "ide" : "");
  return { element: [name("File", file), name("Kind", kind), name("Controller", controller)],
    value: () => {
      const all = { ...old };
      for (const [key, input] of [["file", file], ["kind", kind], ["controller", controller]]) {
        if (input.value) all[key] = input.value;
        else if (key === "file" || old[key] === "dvd" || old[key] === "ide") delete all[key];
      }
      return all.file || all.kind ? all : null;
    } };
}

function adapter(old) {
  const where = text(old.switch), vlan = text(old.vlan, { inputMode: "numeric" });
  return { element: [name("Switch", where), name("VLAN", vlan)],
    value: () => {
      const all = { ...old, switch: where.value };
      delete all.vlan;
      if (vlan.value) all.vlan = Number(vlan.value);
      return where.value ? all : null;
    } };
}

function form(machine, whole, submit) {
  const old = whole?.document ?? { memory: "1G", vps: 1, generation: 2 }, isNew = !machine;
  const newDisk = isNew ? field("New disk", text("20G"), "of this size, as its first one; empty: none") : null;
  const inputs = {
    name: text(machine?.name, { required: true, maxLength: 64 }), memory: text(old.memory, { required: true }), vps: text(old.vps, { type: "number", min: 1, max: 240, required: true }),
    "memory-minimum": text(old["memory-minimum"]), "memory-maximum": text(old["memory-maximum"]),
    generation: choice([["", "none: a kernel is started"], ["1", "1: BIOS"], ["2", "2: UEFI"]], String(old.generation ?? "")),
    vga: choice([["", "none: its console is the serial line"], ["true", "a VGA's"]], old.vga ? "true" : ""),
    kernel: text(old.kernel), initrd: text(old.initrd), append: text(old.append),
    start: choice([["", "never"], ["if-running", "if it ran before"], ["always", "always"]], old.start === "never" ? "" : old.start),
    stop: choice([["", "shut it down"], ["save", "save it"], ["turn-off", "turn it off"]], old.stop === "shutdown" ? "" : old.stop),
    tags: text((old.tags ?? []).join(", ")), users: text(Object.entries(old.users ?? {}).map(([user, role]) => `${user}:${role}`).join(", ")),
    notes: h("textarea", { rows: 4, value: old.notes ?? "" }),
  };
  const disks = rows("Disks and DVD drives", "disk", "Files of the host that are there, or of the machine's folder; its page makes new ones there.", old.disks ?? [], disk), networks = rows("Network adapters", "adapter", "Each on a virtual switch of the host.", old.networks ?? [], adapter);
  const said = h("div", { role: "alert" });

  const value = () => {
    const wanted = { name: inputs.name.value, vps: Number(inputs.vps.value), generation: inputs.generation.value ? Number(inputs.generation.value) : null, vga: inputs.vga.value ? true : null };
    for (const key of ["memory", "memory-minimum", "memory-maximum", "kernel", "initrd", "append", "start", "stop", "notes"]) {
      const given = inputs[key].value.trim();
      wanted[key] = given === "" ? null : given === String(old[key]) ? old[key] : given;
    }
    const tags = inputs.tags.value.split(",").map((word) => word.trim()).filter(Boolean);
    wanted.tags = tags.length ? tags : null;
    const users = inputs.users.value.split(",").map((word) => word.split(":").map((part) => part.trim())).filter(([user]) => user);
    // Merging keeps members that are not named: those that are gone are null.
    wanted.users = users.length ? { ...Object.fromEntries(Object.keys(old.users ?? {}).map((user) => [user, null])), ...Object.fromEntries(users.map(([user, role]) => [user, role ?? ""])) } : null;
    wanted.disks = disks.value().length ? disks.value() : null;
    wanted.networks = networks.value().length ? networks.value() : null;
    return Object.fromEntries(Object.entries(wanted).filter(([key, member]) => key === "name" ? isNew || member !== machine.name
      : isNew ? member !== null : JSON.stringify(member) !== JSON.stringify(old[key] ?? null)));
  };

  return h("form", { onsubmit: async (event) => {
    event.preventDefault();
    said.replaceChildren();
    try {
      await submit(value(), newDisk?.querySelector("input").value.trim());
    } catch (problem) {
      said.replaceChildren(h("div.say", null, problem.message));
    }
  } }, h("div.grid", null,
    h("fieldset", null, h("legend", null, "Machine"), h("div.fields", null, field("Name", inputs.name), field("Memory", inputs.memory, "as 512M or 2G"), field("VPs", inputs.vps),
      field("Least memory", inputs["memory-minimum"], "dynamic memory, if given"), field("Most memory", inputs["memory-maximum"]), newDisk)),
    h("fieldset", null, h("legend", null, "What it starts"), h("div.fields", null, field("Generation", inputs.generation), field("Screen", inputs.vga, "with a generation"), field("Kernel", inputs.kernel, "without a generation"), field("Initial RAM disk", inputs.initrd), field("Command line", inputs.append))),
    h("fieldset", null, h("legend", null, "With the host"), h("div.fields", null, field("When the host starts", inputs.start), field("When the host ends", inputs.stop))),
    h("fieldset", null, h("legend", null, "About it"), h("div.fields", null, field("Tags", inputs.tags, "with commas"), field("Users", inputs.users, "as ann:operator, bob:viewer")), field("Notes", inputs.notes))),
  h("div.grid", null, disks.element, networks.element), said,
  h("div.row", null, h("button.main", null, isNew ? "Make it" : "Change it"), h("a.button", { href: machine ? `#/machine/${encodeURIComponent(keyOf(machine))}` : "#/" }, "Cancel")));
}

export function editView(key) {
  const place = h("div"), title = h("h1", null, key ? "Edit" : "New machine");
  const done = (machine) => { location.hash = `#/machine/${encodeURIComponent(keyOf(machine))}`; };
  // Its folder is there with the machine; a machine without its disk is none.
  const create = async (body, size) => {
    const name = "disk.vhdx", first = { file: name, ...(body.generation === 1 ? { controller: "ide" } : {}) };
    const machine = await ask("POST", "/v1/machines", size ? { ...body, disks: [first, ...(body.disks ?? [])] } : body);
    if (size) {
      await ask("POST", pathOf(machine, "files"), { name, size }).catch(async (problem) => {
        await ask("DELETE", pathOf(machine));
        throw problem;
      });
    }
    known.machines.set(keyOf(machine), machine);
    done(machine);
  };
  let begun = false;
  return {
    title: title.textContent,
    element: [h("nav", { "aria-label": "Where you are" }, h("a", { href: "#/" }, "Machines")), title, place],
    update() {
      const machine = known.machines.get(key);
      if (begun || (key && !machine)) return;
      begun = true;
      if (!key) {
        place.replaceChildren(form(null, null, create));
        return;
      }
      title.textContent = `Edit ${machine.name}`;
      ask("GET", pathOf(machine)).then((whole) => place.replaceChildren(form(machine, whole, async (body) => {
        await ask("PATCH", pathOf(machine), body, { "If-Match": whole.tag });
        done(machine);
      }))).catch((problem) => place.replaceChildren(h("div.say", { role: "alert" }, problem.message)));
    },
  };
}
