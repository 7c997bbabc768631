// The page works without this: it adds arrow keys, filters of the matrix, and search in a console.
"use strict";

function arrows(table) {
  const rows = () => [...table.querySelectorAll("tbody tr:not(.part)")].filter((row) => !row.hidden);
  const step = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] };
  table.addEventListener("keydown", (event) => {
    const place = event.target.closest("td, th");
    if (!step[event.key] || !place || event.ctrlKey || event.altKey || event.metaKey) return;
    const [down, right] = step[event.key];
    const all = rows();
    let row = all.indexOf(place.parentElement);
    let column = place.cellIndex;
    for (;;) {
      row += down;
      column += right;
      const next = all[row] && all[row].cells[column];
      if (!next) return;
      const link = next.querySelector("a");
      if (!link) continue;
      event.preventDefault();
      link.focus();
      link.scrollIntoView({ block: "nearest", inline: "nearest" });
      return;
    }
  });
}

function filters(form, table) {
  form.hidden = false;
  const apply = () => {
    const words = form.rows.value.trim().toLowerCase();
    const only = form.only.value;
    let shown = 0;
    for (const row of table.querySelectorAll("tbody tr:not(.part)")) {
      const named = row.cells[0].textContent.toLowerCase().includes(words);
      const fits = !only || row.querySelector(`td.${only}:not(.ref)`) !== null;
      row.hidden = !(named && fits);
      shown += row.hidden ? 0 : 1;
    }
    for (const body of table.tBodies) body.hidden = ![...body.rows].some((row) => !row.hidden && !row.matches(".part"));
    table.dataset.only = only;
    form.querySelector("output").textContent = words || only ? `${shown} ${shown === 1 ? "row" : "rows"}` : "";
  };
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  apply();
}

function search(form, region) {
  form.hidden = false;
  const output = form.querySelector("output");
  let hits = [];
  let at = -1;
  const clear = () => hits.forEach((line) => line.classList.remove("hit"));
  const find = () => {
    clear();
    const words = form.find.value.toLowerCase();
    at = -1;
    hits = words ? [...region.querySelectorAll("code")].filter((code) => code.textContent.toLowerCase().includes(words)).map((code) => code.parentElement) : [];
    hits.forEach((line) => line.classList.add("hit"));
    output.textContent = words ? `${hits.length} ${hits.length === 1 ? "line" : "lines"}` : "";
  };
  const go = (by) => {
    if (!hits.length) return;
    at = (at + by + hits.length) % hits.length;
    output.textContent = `${at + 1} of ${hits.length}`;
    // Through the address, so that the line found can be linked and is marked.
    location.replace(`#${hits[at].id}`);
    hits[at].scrollIntoView({ block: "center" });
  };
  form.find.addEventListener("input", find);
  form.before.addEventListener("click", () => go(at < 0 ? 0 : -1));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    go(1);
  });
}

const table = document.querySelector(".matrix table");
if (table) {
  arrows(table);
  filters(document.querySelector("[data-filters]"), table);
}
const region = document.querySelector(".lines");
if (region) search(document.querySelector("[data-search]"), region);
