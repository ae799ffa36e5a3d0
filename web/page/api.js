// The service, and what is known of it now.

export class Problem extends Error {
  constructor(status, answer) {
    super(answer?.detail ? answer.detail + (answer.remedy ? `; ${answer.remedy}` : "") : `the service answers ${status}`);
    this.status = status;
    this.code = answer?.code;
  }
}

let csrf = "";
export const known = { user: "", host: null, machines: new Map(), jobs: new Map(), rates: new Map(), history: [], events: false, lost: false };
const listeners = new Set();
export function listen(listener) { listeners.add(listener); return () => listeners.delete(listener); }
function tell() { for (const listener of [...listeners]) listener(); }

export async function ask(method, path, body, headers = {}) {
  let answer;
  try {
    answer = await fetch(path, { method, headers: { ...(method === "GET" ? {} : { "X-CSRF-Token": csrf }), ...headers },
      body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw new Problem(0, { detail: "the host does not answer", remedy: "the page tries again by itself" });
  }
  const value = await answer.json().catch(() => null);
  if (answer.status === 401 && path !== "/session") location.reload();
  if (!answer.ok) throw new Problem(answer.status, value);
  return path === "/session" ? value : Object.assign(value, { tag: answer.headers.get("ETag") });
}

// A file, with how much of it has been sent. What it may do is asked as all else is.
export function bring(path, file, step) {
  const request = new XMLHttpRequest();
  const done = new Promise((resolve, reject) => {
    const answer = () => { try { return JSON.parse(request.responseText); } catch { return null; } };
    request.upload.onprogress = (event) => step(event.loaded / (event.total || 1));
    request.onload = () => (request.status < 300 ? resolve(answer()) : reject(new Problem(request.status, answer())));
    request.onerror = () => reject(new Problem(0, { detail: "the host hangs up", remedy: "try again" }));
    request.onabort = () => reject(new Problem(0, { detail: "it was given up" }));
  });
  request.open("PUT", path);
  request.setRequestHeader("X-CSRF-Token", csrf);
  request.send(file);
  return { done, cancel: () => request.abort() };
}

export async function session() {
  const answer = await ask("GET", "/session");
  csrf = answer.csrf;
  known.user = answer.user;
}

export async function logIn(user, password) {
  const answer = await ask("POST", "/session", { user, password });
  csrf = answer.csrf;
  known.user = answer.user;
}

export async function logOut() {
  await ask("DELETE", "/session").catch(() => {});
  location.hash = "";
  location.reload();
}

export const pathOf = (machine, ...more) => ["/v1/machines", encodeURIComponent(machine.id || machine.name), ...more].join("/");
export const keyOf = (machine) => machine.id || machine.name;

// A list is fetched in parts.
async function askAll(path, member) {
  const all = [];
  for (let next = ""; next !== undefined;) {
    const part = await ask("GET", `${path}?limit=100${next && `&cursor=${encodeURIComponent(next)}`}`);
    all.push(...part[member]);
    next = part.next;
  }
  return all;
}

// ---- Live state: events for administrators, else asking now and then ----

let before = null;

// How much CPU each has had since it was seen last, in processors.
function measure(machines) {
  const now = performance.now() / 1000, seen = new Map();
  let total = 0;
  for (const machine of machines) {
    const key = keyOf(machine), used = machine["cpu-seconds"] ?? 0, old = before?.seen.get(key);
    seen.set(key, used);
    const rate = old !== undefined && used >= old ? (used - old) / Math.max(0.2, now - before.now) : 0;
    total += rate;
    const history = known.rates.get(key) ?? [];
    known.rates.set(key, [...history.slice(-59), rate]);
  }
  for (const key of known.rates.keys()) if (!seen.has(key)) known.rates.delete(key);
  known.history = [...known.history.slice(-59), total];
  before = { now, seen };
}

export async function refresh() {
  try {
    const [machines, jobs, host] = await Promise.all([askAll("/v1/machines", "machines"), askAll("/v1/jobs", "jobs"), ask("GET", "/v1/host")]);
    known.machines = new Map(machines.map((machine) => [keyOf(machine), machine]));
    known.jobs = new Map(jobs.map((job) => [job.id, job]));
    known.host = host;
    known.lost = false;
    measure(machines);
  } catch (problem) {
    known.lost = problem.message;
  }
  tell();
}

function take(name, data) {
  if (name === "machine") known.machines.set(keyOf(data), data);
  else if (name === "deleted") known.machines.delete(data.id || data.name);
  else if (name === "job") known.jobs.set(data.id, data);
  tell();
}

async function follow() {
  const answer = await fetch("/v1/events");
  if (answer.status === 403) return false; // not an administrator
  if (!answer.ok) return true;
  known.events = true;
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return true;
    const blocks = (text + value).split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const lines = Object.fromEntries(block.split("\n").map((line) => [line.split(":", 1)[0], line.slice(line.indexOf(":") + 1).trim()]));
      if (lines.event && lines.data) take(lines.event, JSON.parse(lines.data));
    }
  }
}

export async function live() {
  await refresh();
  setInterval(() => { if (!document.hidden) refresh(); }, 3000);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
  while (await follow().catch(() => true)) {
    known.events = false;
    await new Promise((done) => setTimeout(done, 2000));
  }
}

// ---- What is done ----

export async function act(machine, action, body = {}) {
  const job = await ask("POST", pathOf(machine, "actions", action), body);
  known.jobs.set(job.id, job);
  tell();
  return job;
}
