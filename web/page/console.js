// A machine's serial console, by xterm.js over a WebSocket. Without the library (it was built without a network) there is a note.
import { h } from "./parts.js";

const columns = 80, rows = 24;

// The terminal writes its style sheets as elements, which the page's policy does not allow; as sheets that a script made they are.
function guarded() {
  const make = (name) => {
    const element = document.createElement(name === "style" ? "i" : name);
    if (name === "style") {
      const sheet = new CSSStyleSheet();
      document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
      element.hidden = true;
      Object.defineProperty(element, "textContent", { set: (text) => sheet.replaceSync(text), get: () => "" });
    }
    element.setAttribute = function (key, value) {
      if (key === "style") this.style.cssText = value;
      else Element.prototype.setAttribute.call(this, key, value);
    };
    return element;
  };
  return new Proxy(document, {
    get(target, key) {
      if (key === "createElement") return make;
      const value = Reflect.get(target, key, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

let loading = null;
function load() {
  loading ??= new Promise((done) => {
    document.head.append(h("link", { rel: "stylesheet", href: "/xterm.css" }));
    const script = h("script", { src: "/xterm.js" });
    script.onload = script.onerror = () => done(Boolean(window.Terminal));
    document.head.append(script);
  });
  return loading;
}

export function consoleView() {
  const place = h("div.console", { role: "region", "aria-label": "Serial console" }), note = h("p.soft", { role: "status" }),
    again = h("button.small", { hidden: true }, "Connect again");
  let terminal = null, socket = null, path = "";
  const element = [h("div.row.apart", null, h("h2", null, "Serial console"), again), note, place];
  place.hidden = true;

  function fit() {
    if (terminal) terminal.options.fontSize = Math.max(6, Math.min(15, Math.floor((place.clientWidth - 26) / columns / 0.602)));
  }
  addEventListener("resize", fit);

  async function open(to) {
    path = to;
    again.hidden = true;
    if (!(await load())) {
      note.textContent = "This vweb was built without a network: the page has no console. Elsewhere: vm console NAME";
      return;
    }
    if (path !== to || socket) return;
    place.hidden = false;
    if (!terminal) {
      terminal = new window.Terminal({ cols: columns, rows, documentOverride: guarded(), screenReaderMode: true, convertEol: false, scrollback: 5000,
        fontFamily: '"DejaVu Sans Mono", Menlo, Consolas, monospace', theme: { background: "#0c1110", foreground: "#dfece7" } });
      terminal.open(place);
      fit();
      const bytes = new TextEncoder();
      // Tab is the guest's: this is the way out for who has no mouse, as of vm console.
      terminal.attachCustomKeyEventHandler((event) => {
        const leaves = event.ctrlKey && event.key === "]";
        if (leaves && event.type === "keydown") document.getElementById("main").focus();
        return !leaves;
      });
      terminal.onData((text) => { if (socket?.readyState === 1) socket.send(bytes.encode(text)); });
    }
    terminal.reset();
    const mine = socket = new WebSocket(`wss://${location.host}${path}`);
    mine.binaryType = "arraybuffer";
    mine.onopen = () => { note.textContent = "Connected. Keys go to the guest; Ctrl-] leaves."; };
    mine.onmessage = (event) => terminal.write(new Uint8Array(event.data));
    mine.onclose = (event) => {
      if (socket !== mine) return;
      socket = null;
      note.textContent = event.code === 1006 ? "There is no console: it is for operators, and the machine has to run." : "The console has ended.";
      again.hidden = false;
    };
  }

  function close(why) {
    path = "";
    note.textContent = why;
    again.hidden = true;
    socket?.close();
    socket = null;
    if (!why) removeEventListener("resize", fit);
  }

  again.addEventListener("click", () => open(path));
  return { element, open, close };
}
