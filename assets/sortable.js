// Lines of a list that can be dragged to another place; a bar shows where they would land. Knows nothing of the lines.

import { el } from "./dom.js";
import { keyOf } from "./keyed.js";

const SLACK = 5; // pixels before a press becomes a drag
const EDGE = 36; // this near to the border of what scrolls, it scrolls
const SPEED = 9; // pixels a frame

/**
 * list    its children are the lines, with data-key
 * handle  selector of what is dragged by; touch drags only by handles that forbid scrolling in the style sheet
 * touch   whether fingers drag, too
 * scroller  what scrolls under the drag
 * move(id, position)  position: the line's place among the others
 */
export function sortable(list, { handle, touch = false, scroller, move }) {
  list.addEventListener("pointerdown", (event) => {
    const grip = event.target.closest(handle);
    if (!grip || event.button !== 0 || (event.pointerType === "touch" && !touch)) return;
    const line = grip.closest("[data-key]");
    if (line && list.children.length > 1) watch(event, line);
  });

  function watch(down, line) {
    const ending = new AbortController();
    const options = { signal: ending.signal, capture: true };
    let drag = null;
    addEventListener(
      "pointermove",
      (event) => {
        if (event.pointerId !== down.pointerId) return;
        if (!drag && Math.hypot(event.clientX - down.clientX, event.clientY - down.clientY) > SLACK) drag = begin(line);
        drag?.to(event.clientY);
      },
      options,
    );
    const end = (event) => {
      ending.abort();
      if (!drag) return;
      drag.end();
      if (event.type === "pointerup") drag.drop();
      swallowClick();
    };
    addEventListener("pointerup", end, options);
    addEventListener("pointercancel", end, options);
    addEventListener("blur", end, { signal: ending.signal }); // of the window alone
    addEventListener(
      "keydown",
      (event) => {
        if (event.key !== "Escape" || !drag) return;
        event.stopImmediatePropagation();
        event.preventDefault();
        end(event);
      },
      options,
    );
  }

  function begin(line) {
    const bar = el("div", { class: "landing", "aria-hidden": "true" });
    const others = [...list.children].filter((each) => each !== line);
    const was = [...list.children].indexOf(line);
    let position = was;
    let y = 0;
    let frame = requestAnimationFrame(scroll);
    line.classList.add("dragged");
    document.documentElement.classList.add("dragging");
    list.parentElement.append(bar);

    function to(place) {
      y = place;
      const boxes = others.map((each) => each.getBoundingClientRect());
      const below = boxes.findIndex((box) => place < (box.top + box.bottom) / 2);
      position = below < 0 ? others.length : below;
      const at = below < 0 ? boxes.at(-1).bottom : position > 0 ? (boxes[position - 1].bottom + boxes[position].top) / 2 : boxes[0].top;
      const frameBox = scroller.getBoundingClientRect();
      const { left, width } = list.getBoundingClientRect();
      bar.style.top = `${Math.min(Math.max(at, frameBox.top), frameBox.bottom)}px`;
      bar.style.left = `${left}px`;
      bar.style.width = `${width}px`;
      bar.classList.toggle("nowhere", position === was);
    }

    function scroll() {
      const { top, bottom } = scroller.getBoundingClientRect();
      if (y && y < top + EDGE) scroller.scrollTop -= SPEED;
      else if (y > bottom - EDGE) scroller.scrollTop += SPEED;
      if (y) to(y);
      frame = requestAnimationFrame(scroll);
    }

    return {
      to,
      end() {
        cancelAnimationFrame(frame);
        bar.remove();
        line.classList.remove("dragged");
        document.documentElement.classList.remove("dragging");
      },
      drop() {
        if (position !== was) move(keyOf(line), position);
      },
    };
  }
}

/** The click that ends a drag is none. */
function swallowClick() {
  const stop = (event) => {
    event.stopPropagation();
    event.preventDefault();
  };
  addEventListener("click", stop, { capture: true, once: true });
  setTimeout(() => removeEventListener("click", stop, { capture: true }));
}
