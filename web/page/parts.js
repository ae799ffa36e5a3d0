// Elements and words. What comes from a machine or a user becomes text nodes and attributes' values, and nothing else: there is no innerHTML.

export function h(name, properties, ...children) {
  const [tag, ...classes] = name.split(".");
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(properties ?? {})) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key in element && key !== "list") element[key] = value;
    else if (value !== undefined && value !== false) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat(9).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const svg = (name, attributes) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
};

// A line of values from 0 to `most`, the newest at the right.
export function chart(label, room = 60) {
  const area = svg("path", { class: "area" }), line = svg("path", {});
  const element = svg("svg", { class: "chart", viewBox: `0 0 ${room - 1} 100`, preserveAspectRatio: "none", role: "img", "aria-label": label });
  element.append(area, line);
  const show = (values, most) => {
    const points = values.slice(-room).map((value, i, all) => `${room - all.length + i} ${98 - 96 * Math.min(1, value / (most || 1))}`);
    if (!points.length) return;
    line.setAttribute("d", `M${points.join("L")}`);
    area.setAttribute("d", `M${room - points.length} 100L${points.join("L")}L${room - 1} 100Z`);
  };
  return { element, show };
}

export function bar(label) {
  const inner = h("div"), element = h("div.bar", { role: "meter", "aria-label": label, "aria-valuemin": "0", "aria-valuemax": "100" }, inner);
  const show = (share) => {
    const percent = Math.round(100 * Math.max(0, Math.min(1, share || 0)));
    inner.style.width = `${percent}%`;
    element.setAttribute("aria-valuenow", percent);
  };
  show(0);
  return { element, show };
}

export function bytes(value) {
  if (typeof value !== "number") return value === undefined ? "" : String(value);
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let i = 0;
  while (value >= 1024 && i < units.length - 1) { value /= 1024; i++; }
  return `${value >= 100 || Number.isInteger(value) ? Math.round(value) : value.toFixed(1)} ${units[i]}`;
}

// "512M" or a number, in bytes.
export function size(value) {
  const match = /^(\d+)([KMGT]?)$/i.exec(value ?? "");
  return match ? Number(match[1]) * 1024 ** ("KMGT".indexOf(match[2].toUpperCase()) + 1 || 0) : NaN;
}

export function span(seconds) {
  const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const i = Math.max(0, units.findIndex(([length]) => seconds >= length));
  return seconds < 1 ? "0 s" : units.slice(i, i + 2).map(([length, word], j) => {
    const count = Math.floor(j ? (seconds % units[i][0]) / length : seconds / length);
    return j && !count ? "" : `${count} ${word}`;
  }).join(" ").trim();
}

export function state(machine) {
  const word = machine.damage ? "damaged" : machine.state;
  return h(`span.state.${word.endsWith("ing") && word !== "running" ? "busy" : word}`, null, word);
}

// Sets what is shown, without touching what is the same: focus and selection stay.
export function replace(place, ...children) {
  if (place.textContent !== children.map((child) => child.textContent ?? child).join("") || !place.childNodes.length) place.replaceChildren(...children);
}

const speaker = h("div.hidden", { role: "status", "aria-live": "polite" });
document.body.append(speaker);
export function announce(text) { speaker.textContent = text; }

// A question; the answer is true, or false when it is left.
export function ask(title, text, yes, ...more) {
  return new Promise((done) => {
    const dialog = h("dialog", { "aria-labelledby": "question" },
      h("form", { method: "dialog" }, h("h2", { id: "question" }, title), h("p", null, text), more,
        h("div.row", null, h("button.main", { value: "yes" }, yes), h("button", { value: "no", autofocus: true }, "Cancel"))));
    dialog.addEventListener("close", () => { dialog.remove(); done(dialog.returnValue === "yes"); });
    document.body.append(dialog);
    dialog.showModal();
  });
}
