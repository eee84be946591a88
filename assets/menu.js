// A menu under a button. Knows nothing of what is chosen.

import { el } from "./dom.js";
import { placeAt } from "./popover.js";

let open = null; // the button whose menu is open
let pressed = null; // that button, pressed: the click closes its menu, and does not open it again

addEventListener("pointerdown", (event) => (pressed = open?.contains(event.target) ? open : null), true);

/**
 * items: [{label, run}], links [{label, href}] that download, a `mark` at the end such as keys, `off: true` for what is
 * not possible now; {heading} for what the next ones are about, and null for a line between. note: a line below them.
 */
export function openMenu(anchor, label, items, note = null) {
  if (pressed === anchor) return;
  const menu = el(
    "div",
    { role: "menu", class: "menu", popover: "auto", "aria-label": label, "aria-describedby": note ? "menu-note" : null },
    ...items.map((item) => (item === null ? el("hr", { role: "separator" }) : item.heading ? el("p", { role: "presentation" }, item.heading) : entry(item))),
    note ? el("p", { role: "presentation", id: "menu-note", class: "faint-note" }, note) : null,
  );
  const entries = [...menu.querySelectorAll("[role=menuitem]:not([aria-disabled])")];
  const focus = (index) => entries[(index + entries.length) % entries.length]?.focus();
  let chosen = null;

  function entry({ label: name, run, href, mark, off }) {
    const made = el(
      href ? "a" : "button",
      { role: "menuitem", tabIndex: -1, ...(href ? { href, download: "" } : { type: "button" }), "aria-disabled": off ? "true" : null },
      el("span", {}, name),
      mark ? el("kbd", {}, mark) : null,
    );
    made.addEventListener("click", (event) => {
      if (off) return;
      if (run) {
        event.preventDefault();
        chosen = run;
      }
      menu.hidePopover();
    });
    return made;
  }

  menu.addEventListener("keydown", (event) => {
    const at = entries.indexOf(document.activeElement);
    if (event.key === "ArrowDown") focus(at + 1);
    else if (event.key === "ArrowUp") focus(at < 0 ? -1 : at - 1);
    else if (event.key === "Home") focus(0);
    else if (event.key === "End") focus(-1);
    else if (event.key === "Escape" || event.key === "Tab") menu.hidePopover();
    else if (event.key.length === 1 && /\S/.test(event.key)) byLetter(event.key, at);
    else return;
    event.stopPropagation();
    event.preventDefault();
  });

  function byLetter(letter, at) {
    const order = [...entries.slice(at + 1), ...entries.slice(0, at + 1)];
    order.find((each) => each.textContent.trim().toLowerCase().startsWith(letter.toLowerCase()))?.focus();
  }

  menu.addEventListener("toggle", (event) => {
    if (event.newState !== "closed") return;
    const inside = menu.contains(document.activeElement) || document.activeElement === document.body;
    menu.remove();
    anchor.setAttribute("aria-expanded", "false");
    if (open === anchor) open = null;
    if (inside && anchor.isConnected) anchor.focus({ preventScroll: true });
    chosen?.();
  });

  (anchor.closest("nav, main, aside") ?? document.body).append(menu);
  menu.showPopover();
  placeAt(menu, anchor.getBoundingClientRect(), { end: true });
  anchor.setAttribute("aria-expanded", "true");
  open = anchor;
  focus(0);
}
