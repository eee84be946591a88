// A list whose lines stay the elements they are while what they show changes: focus, cursors and drags live on.

/**
 * Makes the children of `host` those of `items`, in this order. make(item) → a new element; update(element, item) puts
 * into it what the item is now. Items are told apart by their `id`.
 */
export function drawKeyed(host, items, { make, update }) {
  const focused = host.contains(document.activeElement) ? document.activeElement : null;
  const there = new Map([...host.children].map((child) => [child.dataset.key, child]));
  items.forEach((item, index) => {
    const key = String(item.id);
    let line = there.get(key);
    there.delete(key);
    if (!line) {
      line = make(item);
      line.dataset.key = key;
    }
    if (host.children[index] !== line) host.insertBefore(line, host.children[index] ?? null);
    update(line, item, index);
  });
  for (const line of there.values()) line.remove();
  if (focused?.isConnected && document.activeElement !== focused) focused.focus({ preventScroll: true });
}

/** The id of the item in whose line a node stands, or null. */
export function keyOf(node) {
  const key = node?.closest?.("[data-key]")?.dataset.key;
  return key === undefined ? null : Number(key);
}
