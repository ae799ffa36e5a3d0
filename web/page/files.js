// A machine's files of disks: made, made larger, brought, fetched, given to it, deleted. For administrators.
import { ask, bring, pathOf } from "./api.js";
import { announce, ask as question, bytes, h, replace } from "./parts.js";

const isDisc = (name) => /\.iso$/i.test(name);
const about = (file) => file.damage ?? [file.format === "raw" ? "raw" : file.type, bytes(file["disk-size"] ?? file.size),
  file.parent ? `over ${file.parent}` : "", `${bytes(file.used)} taken`].filter(Boolean).join(", ");

// What the document's disks become with this file.
export function withFile(document, name) {
  const disks = document.disks ?? [], empty = disks.find((disk) => disk.kind === "dvd" && !disk.file);
  if (!isDisc(name)) return [...disks, { file: name }];
  return empty ? disks.map((disk) => (disk === empty ? { ...disk, file: name } : disk))
    : [...disks, { kind: "dvd", file: name, ...(document.generation === 1 ? { controller: "ide" } : {}) }];
}

export function filesView(machine, changed) {
  const rows = h("tbody"), said = h("div", { role: "alert" }), none = h("p.soft", { hidden: true }, "There is none in its folder."),
    on = h("progress", { max: 1, value: 0, "aria-label": "What has been sent", hidden: true }), how = h("span.soft"),
    stop = h("button.small", { type: "button", hidden: true }, "Cancel"), picked = h("input", { type: "file", id: "upload", "aria-label": "Upload a file" });
  const name = h("input", { id: "new-disk-name", value: "data.vhdx", autocomplete: "off" }), size = h("input", { id: "new-disk-size", value: "20G", autocomplete: "off" }),
    kind = h("select", { id: "new-disk-kind" }, h("option", { value: "dynamic" }, "grows"), h("option", { value: "fixed" }, "whole at once"));
  const element = h("section.card", { "aria-label": "Files of disks", hidden: true });
  let asked = 0;

  const at = (file) => pathOf(machine(), "files", encodeURIComponent(file));
  const attempt = async (work) => {
    said.replaceChildren();
    try {
      await work();
    } catch (problem) {
      said.replaceChildren(h("div.say", null, problem.message));
    }
    await load();
  };

  async function attach(file) {
    const whole = await ask("GET", pathOf(machine()));
    await ask("PATCH", pathOf(machine()), { disks: withFile(whole.document, file) }, { "If-Match": whole.tag });
    changed();
  }

  async function resize(file) {
    const to = h("input", { id: "resize-to", autocomplete: "off", value: "" });
    if (await question(`Another size of ${file.name}`, `It has ${bytes(file["disk-size"])}. What the guest has on it grows by its own means.`, "Resize it",
      h("div.field", null, h("label", { htmlFor: "resize-to" }, "Size, as 40G"), to))) await ask("PATCH", at(file.name), { size: to.value });
  }

  async function remove(file) {
    if (await question(`Delete ${file.name}?`, "What is on it is gone then.", "Delete")) await ask("DELETE", at(file.name));
  }

  const button = (label, file, work) => h("button.small", { type: "button", "aria-label": `${label} ${file.name}`, onclick: () => attempt(() => work(file)) }, label);

  async function load() {
    const mine = ++asked;
    let list, whole;
    try {
      [list, whole] = await Promise.all([ask("GET", pathOf(machine(), "files")), ask("GET", pathOf(machine()))]);
    } catch {
      return; // a viewer's page shows none
    }
    if (mine !== asked) return;
    const has = new Set((whole.document?.disks ?? []).map((disk) => disk.file));
    element.hidden = false;
    none.hidden = list.files.length !== 0;
    rows.replaceChildren(...list.files.sort((a, b) => a.name.localeCompare(b.name)).map((file) => h("tr", null,
      h("td", null, h("span.name", null, file.name), has.has(file.name) ? h("span.tag", null, "its disk") : null), h("td", null, about(file)),
      h("td.actions", null, has.has(file.name) ? null : button("Attach", file, (one) => attach(one.name)),
        h("a.button.small", { href: at(file.name), download: file.name, "aria-label": `Download ${file.name}` }, "Download"),
        isDisc(file.name) || file.damage ? null : button("Resize", file, resize), has.has(file.name) ? null : button("Delete", file, remove)))));
  }

  async function upload() {
    const file = picked.files[0];
    if (!file) return;
    const sent = bring(at(file.name), file, (part) => {
      on.value = part;
      replace(how, `${Math.round(100 * part)} % of ${bytes(file.size)}`);
    });
    const working = (works) => { on.hidden = stop.hidden = !works; picked.disabled = works; };
    stop.onclick = sent.cancel;
    working(true);
    try {
      await sent.done;
      announce(`${file.name} is there`);
    } finally {
      working(false);
      how.replaceChildren();
      picked.value = "";
    }
  }
  picked.addEventListener("change", () => attempt(upload));

  element.append(h("h2", null, "Files of disks"), said,
    h("table.list", null, h("caption.hidden", null, "Files of disks in its folder"), h("thead", null, h("tr", null, ["Name", "What it is", ""].map((word) => h("th", { scope: "col" }, word || h("span.hidden", null, "What can be done"))))), rows), none,
    h("form", { onsubmit: (event) => {
      event.preventDefault();
      attempt(() => ask("POST", pathOf(machine(), "files"), { name: name.value, size: size.value, type: kind.value }));
    } }, h("div.fields", null, h("div.field", null, h("label", { htmlFor: "new-disk-name" }, "New disk"), name), h("div.field", null, h("label", { htmlFor: "new-disk-size" }, "Size"), size),
      h("div.field", null, h("label", { htmlFor: "new-disk-kind" }, "On the host's disk it"), kind)), h("div.row", null, h("button", null, "Make this disk"))),
    h("div.row", null, h("label", { htmlFor: "upload" }, "Upload a disk or a disc"), picked, on, how, stop));
  return { element, load };
}
