// What is typed while the field it is meant for is still on its way.

/**
 * Does `work`, which resolves to a field, or to null where there is none to be had. Keys that are pressed meanwhile work
 * no button: what they type stands in the field then, with the cursor behind it.
 */
export async function typeAhead(work) {
  let typed = "";
  const listen = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (event.key.length === 1) typed += event.key;
    else if (event.key === "Backspace") typed = typed.slice(0, -1);
    else if (event.key !== "Enter") return;
    event.preventDefault();
    event.stopPropagation();
  };
  addEventListener("keydown", listen, true);
  let field;
  try {
    field = await work();
  } finally {
    removeEventListener("keydown", listen, true);
  }
  if (!field) return;
  field.focus();
  if (!typed) return;
  field.value += typed;
  field.dispatchEvent(new Event("input", { bubbles: true }));
}
