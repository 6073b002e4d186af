// On a phone a row of a table is a small card: its heading, then its cells, each with the name of its column (parts.css).

const narrow = matchMedia("(max-width: 640px)");

/** Give each cell the name of its column; a cell over several columns has none. */
function label() {
  if (!narrow.matches) return;
  for (const table of /** @type {NodeListOf<HTMLTableElement>} */ (document.querySelectorAll("table.tb"))) {
    const names = [...(table.tHead?.rows[0]?.cells ?? [])].map((head) => (head.querySelector(".vh") ? "" : head.textContent.trim()));
    for (const body of table.tBodies)
      for (const row of body.rows) if (row.cells.length === names.length) name(row, names);
  }
}

/** @param {HTMLTableRowElement} row @param {string[]} names */
function name(row, names) {
  [...row.cells].forEach((cell, n) => {
    if (names[n] && cell.scope !== "row" && cell.dataset.column !== names[n]) cell.dataset.column = names[n];
  });
}

export function start() {
  label();
  narrow.addEventListener("change", label);
  new MutationObserver(label).observe(document.body, { childList: true, subtree: true });
}
