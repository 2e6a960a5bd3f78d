"""The few lines of JavaScript that sort and filter a report's table. Without them it is a table to be read."""

from __future__ import annotations

import base64
import hashlib

SCRIPT = """
'use strict';
const table = document.getElementById('images'), body = table.tBodies[0], rows = Array.from(body.rows);
const [text, kind, said] = ['text', 'kind', 'said'].map(id => document.getElementById(id));
const words = rows.map(row => row.textContent.toLowerCase());
const order = new Map(Array.from(kind.options, (option, place) => [option.value, place]));
const natural = new Intl.Collator(undefined, {numeric: true}).compare;
const value = {
  name: row => row.cells[0].firstChild.textContent,
  outcome: row => order.get(row.dataset.kind),
  number: (row, place) => { const n = parseFloat(row.cells[place].textContent); return isNaN(n) ? -1 : n; },
};
function filter() {
  const wanted = text.value.toLowerCase();
  let count = 0;
  rows.forEach((row, place) => {
    const shown = (!kind.value || row.dataset.kind === kind.value) && words[place].includes(wanted);
    row.hidden = !shown;
    count += shown;
  });
  said.textContent = count.toLocaleString('en') + ' of ' + rows.length.toLocaleString('en') + ' shown';
}
function sort(head, place) {
  const sense = head.getAttribute('aria-sort') === 'ascending' ? -1 : 1, of = value[head.dataset.sort];
  for (const other of table.tHead.rows[0].cells) other.removeAttribute('aria-sort');
  head.setAttribute('aria-sort', sense > 0 ? 'ascending' : 'descending');
  const keyed = rows.map((row, at) => [of(row, place), at, row]);
  const compare = head.dataset.sort === 'name' ? natural : (a, b) => a - b;
  keyed.sort((a, b) => sense * compare(a[0], b[0]) || a[1] - b[1]);
  body.append(...keyed.map(each => each[2]));
}
Array.from(table.tHead.rows[0].cells).forEach((head, place) => {
  const button = document.createElement('button');
  button.type = 'button';
  button.append(...head.childNodes);
  button.addEventListener('click', () => sort(head, place));
  head.append(button);
});
text.addEventListener('input', filter);
kind.addEventListener('change', filter);
filter();
document.getElementById('tools').hidden = false;
"""

SCRIPT_HASH = "sha256-" + base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
"""For the page's policy: this script may run, and no other."""
