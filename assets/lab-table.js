// The table of the lab, sorted by any column, and its plots. Knows nothing of what the numbers mean.

import { el } from "./dom.js";

const FIRST = { name: "System", unit: "", better: "" };

/** result: {columns: [{name, unit, better}], rows: [{system, parameters, cells: [{value, error, bound}]}]} */
export function drawTable(place, { columns, rows }) {
  const best = columns.map((column, at) => bestOf(column, rows.map((row) => row.cells[at].value)));
  const lines = rows.map((row, number) => ({ row, number, line: line(row, best) }));
  const heads = [FIRST, ...columns].map((column, at) => head(column, () => sort(at)));
  const body = el("tbody", {}, ...lines.map((each) => each.line));
  place.replaceChildren(el("table", { class: "lab-table" }, el("thead", {}, el("tr", {}, ...heads)), body));

  function sort(at) {
    const before = heads[at].getAttribute("aria-sort");
    const first = at === 0 || columns[at - 1].better !== "higher" ? "ascending" : "descending"; // the best ones first
    const way = before === null ? first : before === "ascending" ? "descending" : "ascending";
    heads.forEach((each) => each.removeAttribute("aria-sort"));
    heads[at].setAttribute("aria-sort", way);
    const sign = way === "ascending" ? 1 : -1;
    const key = ({ row, number }) => (at === 0 ? number : row.cells[at - 1].value);
    lines.sort((a, b) => apart(key(a), key(b), sign) || a.number - b.number);
    body.append(...lines.map((each) => each.line));
  }
}

/** What is not known comes last, whichever way. */
function apart(a, b, sign) {
  if (a === null || b === null) return (a === null) - (b === null);
  return sign * (a - b);
}

function head({ name, unit, better }, run) {
  const wish = { lower: "lower is better", higher: "higher is better" }[better];
  const under = [unit, wish].filter(Boolean).join(", ");
  return el("th", { scope: "col" }, el("button", { type: "button", class: "sort", onclick: run }, el("span", { class: "sort-name" }, name), under ? el("span", {}, under) : null));
}

function line({ system, parameters, cells }, best) {
  const name = el("th", { scope: "row" }, system, parameters ? el("small", { class: "parameters" }, `${(parameters / 1e6).toFixed(1)}M`) : null);
  return el("tr", {}, name, ...cells.map((cell, at) => number(cell, cell.value !== null && cell.value === best[at])));
}

function number({ value, error, bound }, isBest) {
  if (value === null) return el("td", { class: "none" }, "–");
  const digits = places(value, error);
  return el("td", { class: isBest ? "best" : "" }, bound ? "≤ " : "", written(value, digits), error === null ? null : el("small", {}, `± ${written(error, digits)}`));
}

const written = (value, digits) => value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });

/** Decimals that are worth showing: two figures of the error, else four of the value. */
function places(value, error) {
  if (error === null && Number.isInteger(value)) return 0;
  const [what, figures] = error ? [error, 2] : [value, 4];
  const size = what === 0 ? 0 : Math.floor(Math.log10(Math.abs(what)));
  return Math.max(0, Math.min(6, figures - 1 - size));
}

function bestOf({ better }, values) {
  const known = values.filter((value) => value !== null);
  if (known.length < 2) return null;
  if (better === "lower") return Math.min(...known);
  return better === "higher" ? Math.max(...known) : null;
}

export function drawPlots(place, names) {
  place.replaceChildren(
    ...names.map((name) => {
      const title = name.replace(/\.svg$/, "").replaceAll(/[-_.]+/g, " ");
      const image = el("img", { src: `/desk/lab/plot/${encodeURIComponent(name)}`, alt: `Plot: ${title}`, loading: "lazy" });
      return el("figure", {}, image, el("figcaption", {}, title));
    }),
  );
}
