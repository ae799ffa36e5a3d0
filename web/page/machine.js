// A machine: what can be done with it, what is known of it, its screen and its console.
import { act, ask, keyOf, known, pathOf } from "./api.js";
import { announce, ask as question, bytes, chart, h, replace, size, span, state } from "./parts.js";
import { consoleView } from "./console.js";
import { displayView } from "./display.js";
import { filesView } from "./files.js";

const off = ["off", "saved"], on = ["running", "paused"];
const actions = {
  start: { label: "Start", states: off, main: true },
  shutdown: { label: "Shut down", states: ["running"] },
  pause: { label: "Pause", states: ["running"] },
  resume: { label: "Resume", states: ["paused"], main: true },
  save: { label: "Save", states: on },
  restart: { label: "Restart", states: ["running"] },
  reset: { label: "Reset", states: on, sure: "The guest begins anew at once, without an end in order." },
  "discard-state": { label: "Discard its state", states: ["saved"], bad: true, sure: "It starts anew then: what it had not written is lost." },
  "turn-off": { label: "Turn off", states: [...on, "starting", "stopping", "pausing", "saving", "resuming"], bad: true,
    sure: "It is as if the power were cut: what the guest has not written yet is lost." },
};

// A button for each of these that can be done now, in `place`; what stays possible keeps its focus.
export function buttons(place, machine, names, said = announce) {
  const wanted = names.filter((name) => actions[name].states.includes(machine.state) && !(machine.damage && name === "start"));
  const signature = wanted.join(" ");
  if (place.dataset.buttons === signature) return;
  const focused = place.contains(document.activeElement);
  place.dataset.buttons = signature;
  place.replaceChildren(...wanted.map((name) => h(`button.small${actions[name].main ? ".main" : ""}${actions[name].bad ? ".bad" : ""}`, {
    "aria-label": `${actions[name].label} ${machine.name}`, "data-action": name,
    onclick: async () => {
      if (actions[name].sure && !(await question(`${actions[name].label} ${machine.name}?`, actions[name].sure, actions[name].label))) return;
      try {
        await act(machine, name);
      } catch (problem) {
        said(problem.message);
      }
    },
  }, actions[name].label)));
  if (focused) (place.querySelector("button") ?? document.getElementById("main")).focus();
}

// Whatever the worker says, flat: a name and a text. An item of a list is a line.
function pairs(value, prefix = "") {
  if (value === null || typeof value !== "object") return [[prefix, typeof value === "number" && /memory|bytes|m[ai][nx]imum|target|size/.test(prefix) ? bytes(value) : String(value)]];
  if (Array.isArray(value)) return [[prefix, value.map((item) => pairs(item).map(([key, text]) => key === "name" || !key ? text : text === "true" ? key : text === "false" ? `not ${key}` : `${key} ${text}`).join(", ")).join("\n")]];
  return Object.entries(value).flatMap(([key, inner]) => pairs(inner, prefix ? `${prefix} ${key}` : key));
}

const list = (items) => h("dl.pairs", null, items.filter(([, value]) => value !== undefined && value !== "").flatMap(([name, value]) => [h("dt", null, name), h("dd", null, value)]));

const diskText = (disk) => [disk.file ?? "empty", disk.kind, disk.controller, disk["read-only"] ? "read-only" : ""].filter(Boolean).join(", ");

export function machineView(key) {
  const title = h("h1"), mark = h("span"), bar = h("div.row", { role: "group", "aria-label": "What can be done" }), said = h("div", { role: "alert" }),
    facts = h("div"), document_ = h("div"), worker = h("div"), cpu = chart("CPU, the last minutes"), cpuText = h("span"), more = h("div.row");
  const files = filesView(() => known.machines.get(key) ?? { id: key }, () => { asked = 0; shown = ""; });
  const console_ = consoleView(), display = displayView(), screen = h("section.card", { "aria-label": "Screen", hidden: true }, display.element);
  let asked = 0, shown = "", gone = false, connected = false, looking = "";

  const complain = (text) => said.replaceChildren(h("div.say", null, text));

  async function load(machine) {
    const mine = ++asked;
    try {
      const whole = await ask("GET", pathOf(machine));
      if (mine !== asked) return;
      const settings = whole.document ?? {};
      replace(document_, list([
        ["Generation", String(settings.generation ?? "none: a kernel is started")], ["Kernel", settings.kernel], ["Command line", settings.append],
        ["Dynamic memory", settings["memory-minimum"] ? `${settings["memory-minimum"]} to ${settings["memory-maximum"] ?? settings.memory}` : undefined],
        ...(settings.disks ?? []).map((disk, i) => [`Disk ${i}`, diskText(disk)]), ...(settings.networks ?? []).map((net, i) => [`Adapter ${i}`, `switch ${net.switch}${net.vlan ? `, VLAN ${net.vlan}` : ""}`]),
        ["With the host's start", settings.start ?? "never"], ["With its end", settings.stop ?? "shutdown"],
        ["Users", Object.entries(settings.users ?? {}).map(([user, role]) => `${user}: ${role}`).join(", ")], ["Notes", settings.notes],
      ]));
      screen.hidden = !settings.vga || Boolean(settings.vnc);
      look();
      replace(worker, whole.worker ? list(pairs(whole.worker)) : h("p.soft", null, "It does not run."));
    } catch (problem) {
      if (mine === asked) complain(problem.message);
    }
  }

  // What its worker has decides whether there is a screen: the document may have changed since it started.
  function look() {
    const machine = known.machines.get(key), wanted = machine && !screen.hidden && on.includes(machine.state) ? pathOf(machine, "display") : "";
    if (wanted === looking) return;
    looking = wanted;
    if (wanted) display.open(wanted);
    else display.close("It does not run: its screen is dark.");
  }

  const remove = async () => {
    const machine = known.machines.get(key), disks = h("input", { type: "checkbox", id: "disks" });
    disks.style.width = "auto";
    if (!(await question(`Delete ${machine.name}?`, "Its configuration and its saved state are gone then.", "Delete",
      h("p.row", null, disks, h("label", { htmlFor: "disks" }, "and the disks in its folder"))))) return;
    try {
      await ask("DELETE", `${pathOf(machine)}?disks=${disks.checked}`);
      location.hash = "#/";
    } catch (problem) {
      complain(problem.message);
    }
  };
  more.append(h("a.button.small", { href: `#/edit/${encodeURIComponent(key)}` }, "Edit"), h("button.small.bad", { onclick: remove, "aria-label": "Delete machine" }, "Delete"));

  return {
    title: known.machines.get(key)?.name ?? "Machine",
    element: [h("nav", { "aria-label": "Where you are" }, h("a", { href: "#/" }, "Machines")),
      h("div.row.apart", null, h("div.row", null, title, mark), more), bar, said,
      h("div.grid", null, h("section.card", { "aria-label": "State" }, h("h2", null, "State"), facts, h("h2", null, "CPU ", cpuText), cpu.element),
        h("section.card", { "aria-label": "Settings" }, h("h2", null, "Settings"), document_),
        h("section.card", { "aria-label": "Worker" }, h("h2", null, "What its worker says"), worker)),
      files.element, screen, h("section.card", { "aria-label": "Console" }, console_.element)],
    update() {
      const machine = known.machines.get(key);
      if (!machine) {
        if (known.host && !gone) {
          gone = true;
          title.textContent = "There is no such machine";
          bar.replaceChildren();
          more.replaceChildren();
        }
        return;
      }
      title.textContent = machine.name;
      document.title = `${machine.name} – Verdigris`;
      replace(mark, state(machine));
      buttons(bar, machine, Object.keys(actions), complain);
      replace(facts, list([
        ["For", span(machine["state-seconds"] ?? 0)], ["Ended by", machine["ended-by"]], ["Crashed", machine.crashed ? "yes" : undefined], ["Damage", machine.damage],
        ["At its next start", machine["at-next-start"]?.join(", ")], ["Memory", bytes(size(machine.memory))], ["VPs", String(machine.vps ?? "")], ["Id", machine.id],
      ]));
      const rates = known.rates.get(key) ?? [];
      cpuText.textContent = off.includes(machine.state) ? "" : `${Math.round(100 * (rates.at(-1) ?? 0))} %`;
      cpu.show(rates, machine.vps);
      const now = [machine.state, machine.job, machine.name, machine.revision].join();
      if (now !== shown || asked === 0) {
        shown = now;
        load(machine);
        files.load();
      }
      const lives = on.includes(machine.state);
      if (lives !== connected) {
        connected = lives;
        if (lives) console_.open(pathOf(machine, "console"));
        else console_.close("It does not run: there is no console.");
      }
      look();
    },
    leave: () => {
      console_.close("");
      display.close("");
    },
  };
}
