// The page's frame: who is logged in, which view is shown, jobs, and the list of machines.
import { ask, keyOf, known, listen, live, logIn, logOut, pathOf, session } from "./api.js";
import { announce, bar, bytes, chart, h, replace, size, span, state } from "./parts.js";
import { buttons, machineView } from "./machine.js";
import { editView } from "./edit.js";

const dark = matchMedia("(prefers-color-scheme: dark)");
function paint() {
  document.documentElement.classList.toggle("dark", (localStorage.getItem("colours") ?? (dark.matches ? "dark" : "light")) === "dark");
}
dark.addEventListener("change", paint);
paint();

function loginView(done) {
  const user = h("input", { id: "user", autocomplete: "username", required: true, autofocus: true }),
    password = h("input", { id: "password", type: "password", autocomplete: "current-password" }),
    said = h("div", { role: "alert" });
  const form = h("form.card.login", {
    onsubmit: async (event) => {
      event.preventDefault();
      said.replaceChildren();
      try {
        await logIn(user.value, password.value);
        done();
      } catch (problem) {
        said.replaceChildren(h("div.say", null, problem.message));
        password.value = "";
        password.focus();
      }
    },
  }, h("h1", null, "Verdigris"), h("p.soft", null, `Log in to ${location.hostname} with a user of that host.`),
  h("div.field", null, h("label", { htmlFor: "user" }, "User"), user),
  h("div.field", null, h("label", { htmlFor: "password" }, "Password"), password), said, h("button.main", null, "Log in"));
  return h("div.scroll", null, h("main", { id: "main" }, form));
}

// ---- Jobs ----

function jobsDrawer() {
  const count = h("span", null, "Jobs"), rows = h("tbody");
  const table = h("table.list", null, h("caption.hidden", null, "Jobs, the newest first"),
    h("thead", null, h("tr", null, ["Job", "Machine", "State", "Asked by", "When", ""].map((word) => h("th", { scope: "col" }, word)))), rows);
  const drawer = h("details.drawer", null, h("summary", null, count), h("div.inner", { tabIndex: 0, role: "region", "aria-label": "Jobs" }, table));
  const seen = new Map();
  let first = true;
  listen(() => {
    const jobs = [...known.jobs.values()].sort((a, b) => b.id - a.id).slice(0, 60);
    const active = jobs.filter((job) => job.state === "queued" || job.state === "running").length,
      failed = jobs.filter((job) => job.state === "failed").length;
    count.textContent = `Jobs: ${active} under way${failed ? `, ${failed} failed` : ""}`;
    for (const job of jobs) {
      const old = seen.get(job.id);
      if (!first && old !== job.state && ["done", "failed", "cancelled"].includes(job.state)) {
        announce(`${job.what} ${job.machine}: ${job.state}${job.error ? `: ${job.error.detail}` : ""}`);
        if (job.state === "failed") drawer.open = true;
      }
      seen.set(job.id, job.state);
    }
    first = false;
    replace(rows, ...jobs.map((job) => h("tr", null,
      h("td", null, `${job.what}${job.step && job.state === "running" ? ` (${job.step})` : ""}`), h("td", { "data-label": "Machine" }, job.machine),
      h("td", null, h(`span.state.${job.state}`, null, job.state),
        job.total && job.state === "running" ? h("div.soft", null, `${bytes(job.done)} of ${bytes(job.total)}`) : null,
        job.error ? h("div.soft", null, job.error.detail + (job.error.remedy ? `; ${job.error.remedy}` : "")) : null),
      h("td", { "data-label": "Asked by" }, job.user), h("td", null, new Date(job.began * 1000).toLocaleTimeString()),
      h("td.actions", null, job.state === "queued" || job.state === "running"
        ? h("button.small", { "aria-label": `Cancel job ${job.id}`, onclick: () => ask("DELETE", `/v1/jobs/${job.id}`).catch((problem) => announce(problem.message)) }, "Cancel") : null))));
  });
  return drawer;
}

// ---- The list ----

function hostTiles() {
  const name = h("dd"), running = h("dd"), cpu = h("dd"), memory = h("dd"), load = chart("CPU of all machines, the last minutes"),
    used = bar("Memory of the host that is in use");
  const update = () => {
    const host = known.host;
    if (!host) return;
    const total = known.history.at(-1) ?? 0, alive = [...known.machines.values()].filter((machine) => machine.state !== "off" && machine.state !== "saved"),
      given = alive.reduce((sum, machine) => sum + (size(machine.memory) || 0), 0);
    replace(name, host.name, h("small", null, `up for ${span(host.uptime - host.uptime % 60)}`));
    replace(running, `${alive.length} of ${known.machines.size}`, h("small", null, `${bytes(given)} given to guests`));
    replace(cpu, `${Math.round(100 * total / host.lps)} %`, h("small", null, `of ${host.lps} processors, by machines`));
    replace(memory, bytes(host.memory - host["memory-free"]), h("small", null, `of ${bytes(host.memory)}`));
    used.show(1 - host["memory-free"] / host.memory);
    load.show(known.history, host.lps);
  };
  return { element: h("dl.tiles", { "aria-label": "This host" }, h("div.tile", null, h("dt", null, "Host"), name), h("div.tile", null, h("dt", null, "Running"), running),
    h("div.tile", null, h("dt", null, "CPU"), cpu, h("dd", null, load.element)), h("div.tile", null, h("dt", null, "Memory"), memory, h("dd", null, used.element))), update };
}

function row(machine) {
  const key = keyOf(machine), where = h("a.name"), tags = h("span"), mark = h("td"), cpu = h("td", { "data-label": "CPU" }),
    memory = h("td", { "data-label": "Memory" }), since = h("td", { "data-label": "For" }), actions = h("td.actions"), lines = h("div");
  let looked = -Infinity;
  const element = h("tr", { id: `row-${key}` }, h("td", null, where, " ", tags, lines), mark, cpu, memory, since, actions);
  const update = (now) => {
    where.textContent = now.name;
    where.href = `#/machine/${encodeURIComponent(key)}`;
    replace(tags, ...(now.tags ?? []).flatMap((tag) => [h("span.tag", null, tag), " "]));
    replace(mark, state(now), now.damage ? h("div.soft", null, now.damage) : "");
    const rate = known.rates.get(key)?.at(-1) ?? 0;
    cpu.textContent = now.state === "off" || now.state === "saved" ? "–" : `${Math.round(100 * rate)} %${now.vps ? ` of ${now.vps} VP${now.vps > 1 ? "s" : ""}` : ""}`;
    memory.textContent = now.memory === undefined ? "–" : bytes(size(now.memory));
    since.textContent = span(now["state-seconds"] ?? 0);
    buttons(actions, now, ["start", "shutdown", "pause", "resume"]);
    if (now.state !== "running") lines.replaceChildren();
    else if (!secret.has(key) && performance.now() - looked > 4500) {
      looked = performance.now();
      preview(now, lines);
    }
  };
  return { element, update };
}

// The last lines of a console, without what moves the cursor and colours it.
async function preview(machine, place) {
  try {
    const { text } = await ask("GET", `${pathOf(machine, "console")}?last=1500`);
    const plain = text.replace(/\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(\x07|\x1b\\)|\x1b./gs, "").replace(/\r\n/g, "\n").replace(/[^\n]*\r/g, "").replace(/[^\P{C}\n]/gu, "");
    const lines = plain.split("\n").map((line) => line.trimEnd()).filter(Boolean).slice(-3).join("\n");
    replace(place, ...(lines ? [h("pre.preview", { "aria-label": `Last lines of ${machine.name}` }, lines)] : [""]));
  } catch (problem) {
    place.replaceChildren();
    if (problem.status === 403) secret.add(keyOf(machine));
  }
}
const secret = new Set(); // the consoles that are not for us

function listView() {
  const tiles = hostTiles(), body = h("tbody"), rows = new Map(), none = h("p.soft"), filter = h("input", { type: "search", id: "filter", placeholder: "Name, state or tag" });
  const update = () => {
    tiles.update();
    const words = filter.value.toLowerCase();
    const wanted = [...known.machines.values()].filter((machine) => [machine.name, machine.state, ...(machine.tags ?? [])].some((word) => word.toLowerCase().includes(words)))
      .sort((a, b) => a.name.localeCompare(b.name));
    const keys = new Set(wanted.map(keyOf));
    for (const [key, old] of rows) if (!keys.has(key)) { old.element.remove(); rows.delete(key); }
    wanted.forEach((machine, i) => {
      const one = rows.get(keyOf(machine)) ?? row(machine);
      rows.set(keyOf(machine), one);
      one.update(machine);
      if (body.children[i] !== one.element) body.insertBefore(one.element, body.children[i] ?? null);
    });
    none.textContent = wanted.length ? "" : known.machines.size ? "No machine is like that." : "There is no machine here that you may see.";
  };
  filter.addEventListener("input", update);
  const table = h("table.list", null, h("caption.hidden", null, "Machines"),
    h("thead", null, h("tr", null, ["Name", "State", "CPU", "Memory", "In this state for", ""].map((word) => h("th", { scope: "col" }, word || h("span.hidden", null, "What can be done"))))), body);
  return { title: "Machines", update, element: [h("div.row.apart", null, h("h1", null, "Machines"), h("a.button.main", { href: "#/new" }, "New machine")), tiles.element,
    h("section.card", { "aria-label": "Machines" }, h("div.field", null, h("label.hidden", { htmlFor: "filter" }, "Filter"), filter), table, none)] };
}

// ---- The frame ----

let current = null;

function show(main) {
  const [, what, key] = location.hash.split("/").map(decodeURIComponent);
  current?.leave?.();
  current = what === "machine" ? machineView(key) : what === "edit" || what === "new" ? editView(key) : listView();
  document.title = `${current.title} – Verdigris`;
  main.replaceChildren(...[current.element].flat());
  current.update();
}

function frame() {
  const main = h("main", { id: "main", tabIndex: -1 }), lost = h("div", { role: "alert" });
  document.body.append(
    h("a.skip", { href: "#main", onclick: (event) => { event.preventDefault(); main.focus(); } }, "To the content"),
    h("header.top", null, h("a.brand", { href: "#/" }, h("img", { src: "/icon.svg", alt: "" }), "Verdigris"), h("span.space"),
      h("button.small", { onclick: () => { localStorage.setItem("colours", document.documentElement.classList.contains("dark") ? "light" : "dark"); paint(); }, "aria-label": "Dark or light", title: "Dark or light" }, "◐"),
      h("span.soft", null, known.user), h("button.small", { onclick: logOut }, "Log out")), lost, h("div.scroll", null, main), jobsDrawer());
  listen(() => {
    replace(lost, ...(known.lost ? [h("div.say", null, known.lost)] : [""]));
    current?.update();
  });
  addEventListener("hashchange", () => { show(main); main.focus(); });
  show(main);
  live();
}

async function begin() {
  try {
    await session();
    frame();
  } catch {
    const view = loginView(() => { view.remove(); frame(); });
    document.body.append(view);
    document.title = "Log in – Verdigris";
  }
}
begin();
