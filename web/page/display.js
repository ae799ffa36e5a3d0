// A machine's screen, by noVNC over a WebSocket. Without the library (it was built without a network) there is a note.
import { h } from "./parts.js";

let loading = null;
const load = () => (loading ??= import("/novnc.js").then((module) => module.default, () => undefined));

export function displayView() {
  const place = h("div.screen", { role: "region", "aria-label": "The machine's screen", hidden: true }), note = h("p.soft", { role: "status" }),
    again = h("button.small", { hidden: true }, "Connect again"), keys = h("button.small", { hidden: true }, "Ctrl-Alt-Delete"),
    whole = h("button.small", { hidden: true }, "Full screen"),
    fit = h("button.small", { hidden: true, "aria-pressed": "false", title: "The guest is asked for a picture as large as this window. Not every system follows." }, "Resize the guest");
  const element = [h("div.row.apart", null, h("h2", null, "Screen"), h("div.row", null, keys, fit, whole, again)), note, place];
  let rfb = null, path = "";

  const fits = () => fit.getAttribute("aria-pressed") === "true";
  const show = (connected) => { place.hidden = keys.hidden = fit.hidden = whole.hidden = !connected; };

  // Tab is the guest's: this is the way out for who has no mouse, as of the serial console. The guest sees no key held then.
  place.addEventListener("keydown", (event) => {
    if (!event.ctrlKey || event.key !== "]") return;
    event.stopImmediatePropagation();
    event.preventDefault();
    rfb?.sendKey(0xffe3, "ControlLeft", false);
    rfb?.sendKey(0xffe4, "ControlRight", false);
    document.getElementById("main").focus();
  }, true);

  async function open(to) {
    path = to;
    again.hidden = true;
    const Rfb = await load();
    if (!Rfb) {
      note.textContent = "This vweb was built without a network: the page shows no screen. Elsewhere: a viewer of VNC.";
      return;
    }
    if (path !== to || rfb) return;
    show(true);
    const mine = rfb = new Rfb(place, `wss://${location.host}${path}`, { shared: true });
    mine.scaleViewport = true;
    mine.showDotCursor = true;
    mine.resizeSession = fits();
    mine.addEventListener("connect", () => { note.textContent = "Connected. Keys and the mouse are the guest's while the screen has the focus; Ctrl-] leaves."; });
    mine.addEventListener("disconnect", (event) => {
      if (rfb !== mine) return;
      rfb = null;
      show(false);
      note.textContent = event.detail.clean ? "The screen has ended." : "There is no screen: it is for operators, and the machine has to run.";
      again.hidden = false;
    });
  }

  function close(why) {
    const mine = rfb;
    path = "";
    rfb = null;
    mine?.disconnect();
    show(false);
    note.textContent = why;
    again.hidden = true;
  }

  again.addEventListener("click", () => open(path));
  keys.addEventListener("click", () => rfb?.sendCtrlAltDel());
  fit.addEventListener("click", () => {
    fit.setAttribute("aria-pressed", String(!fits()));
    if (rfb) rfb.resizeSession = fits();
  });
  whole.addEventListener("click", () => place.requestFullscreen());
  return { element, open, close };
}
