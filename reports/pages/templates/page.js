"use strict";
// Sort the table of results by a click on a header, and show only the rows that contain every word of the filter.
const body = document.querySelector("#results tbody");
const headers = [...document.querySelectorAll("#results th")];
const rows = [...body.rows].map((row) => ({ row, text: row.textContent.toLowerCase(), cells: [...row.cells].map((cell) => cell.textContent) }));

const number = (text) => (/^[+-]?inf$/.test(text) ? Number(text.replace("inf", "Infinity")) : Number(text));

function sort(column) {
  const ascending = headers[column].ariaSort !== "ascending";
  const filled = rows.filter((row) => row.cells[column] !== "");
  const empty = rows.filter((row) => row.cells[column] === ""); // last, either way: of these nothing is known
  const numeric = filled.every((row) => !Number.isNaN(number(row.cells[column])));
  const compare = numeric
    ? (a, b) => number(a.cells[column]) - number(b.cells[column]) || 0 // two infinities differ by NaN
    : (a, b) => a.cells[column].localeCompare(b.cells[column], "en", { numeric: true });
  filled.sort((a, b) => (ascending ? compare(a, b) : compare(b, a)));
  body.append(...[...filled, ...empty].map((row) => row.row));
  headers.forEach((header, at) => { header.ariaSort = at !== column ? "none" : ascending ? "ascending" : "descending"; });
}

function filter(words) {
  let shown = 0;
  for (const { row, text } of rows) {
    row.hidden = !words.every((word) => text.includes(word));
    shown += !row.hidden;
  }
  document.querySelector("output").value = `${shown} of ${rows.length} rows`;
}

headers.forEach((header, column) => header.querySelector("button").addEventListener("click", () => sort(column)));
document.querySelector("#filter").addEventListener("input", (event) =>
  filter(event.target.value.toLowerCase().split(/\s+/).filter(Boolean)));
