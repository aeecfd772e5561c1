"use strict";
// A click on a column's name sorts its table by it, a second one the other way round.
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const head = button.closest("th"), body = head.closest("table").tBodies[0];
    const up = head.getAttribute("aria-sort") !== "ascending";
    for (const other of head.parentElement.children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const value = row => row.children[head.cellIndex].dataset.value ?? row.children[head.cellIndex].textContent.trim();
    const order = (a, b) => {
      const x = Number(value(a)), y = Number(value(b));
      return Number.isNaN(x) || Number.isNaN(y) ? value(a).localeCompare(value(b)) : x - y;
    };
    for (const row of [...body.rows].sort((a, b) => up ? order(a, b) : order(b, a))) body.append(row);
  });
}
