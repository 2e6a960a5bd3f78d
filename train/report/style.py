"""The page's style: light and dark, for a phone's width, for paper, without anything from elsewhere."""

CSS = """
:root { color-scheme: light dark; --ink: #1c2024; --soft: #4a5158; --line: #c9ced4; --tint: #f2f5f8; --blue: #0b4f8a;
  --paper: #fff; --warn: #9a5b00; --warn-tint: #fff7e6; --chosen: #e4eef8; }
@media screen and (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --soft: #a9b3bd; --line: #39414a; --tint: #161b22; --blue: #79b8ff;
    --paper: #0d1117; --warn: #f2cc60; --warn-tint: #2f2410; --chosen: #1c2f45; }
  figure img[src^="data:image/svg"] { background: #fff; border-radius: .35rem; padding: .4rem; }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0 auto; padding: 1rem; max-width: 60rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0 0 .25rem; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .5rem; padding-top: .6rem; border-top: 2px solid var(--line); }
h3 { font-size: 1rem; margin: 1.1rem 0 .2rem; }
p { margin: .4rem 0; max-width: 46rem; }
a { color: var(--blue); }
.soft, caption, figcaption, small { color: var(--soft); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(10rem, 1fr)); gap: .6rem; margin: 1rem 0;
  padding: 0; list-style: none; }
.tiles li { background: var(--tint); border-left: 4px solid var(--blue); padding: .5rem .7rem; }
.tiles b { display: block; font-size: 1.5rem; line-height: 1.2; }
.tiles span { display: block; font-size: .85rem; color: var(--soft); }
.limits { background: var(--warn-tint); border-left: 4px solid var(--warn); padding: .4rem .9rem .5rem;
  margin: 1rem 0; }
.missing { background: var(--warn-tint); border-left: 4px solid var(--warn); padding: .4rem .9rem; font-weight: 600; }
.limits h2 { border: 0; margin: .2rem 0; padding: 0; font-size: 1.05rem; }
.limits ul { margin: 0; padding-left: 1.1rem; }
.limits li { margin: .25rem 0; }
table { border-collapse: collapse; width: 100%; margin: .6rem 0 1rem; font-size: .9rem;
  font-variant-numeric: tabular-nums; }
caption { text-align: left; font-size: .9rem; padding-bottom: .3rem; }
th, td { padding: .3rem .4rem; border-bottom: 1px solid var(--line); text-align: right; vertical-align: top; }
th, td { overflow-wrap: normal; }
th { font-weight: 600; vertical-align: bottom; }
tbody th, table.facts td { overflow-wrap: anywhere; }
tbody th { min-width: 4.6rem; }
table.facts { table-layout: fixed; }
table.facts thead th { text-align: left; }
abbr { text-decoration: none; }
tbody th, th:first-child, td:first-child { text-align: left; vertical-align: top; }
td small, th small { display: block; font-size: .78rem; font-weight: 400; white-space: nowrap; }
details { margin: .4rem 0; }
summary { cursor: pointer; font-weight: 600; padding: .4rem 0; color: var(--blue); }
tr.chosen td, tr.chosen th { background: var(--chosen); font-weight: 600; }
table.facts td { text-align: left; }
table.confusion td { text-align: center; border: 1px solid var(--paper); }
table.confusion td small { color: inherit; margin: 0 auto; }
table.confusion thead th { text-align: center; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); gap: 1rem; }
figure { margin: .5rem 0; break-inside: avoid; }
figure img { display: block; width: 100%; max-width: 30rem; height: auto; }
figcaption { font-size: .9rem; }
.mistakes { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 18rem), 1fr)); gap: 1rem; }
.mistakes img { width: 100%; max-width: none; }
code { font-size: .9em; }
footer { margin-top: 2rem; border-top: 2px solid var(--line); padding-top: .5rem; font-size: .85rem;
  color: var(--soft); }
@media (max-width: 30rem) {
  body { padding: .75rem; }
  .tiles { grid-template-columns: 1fr 1fr; }
  .tiles b { font-size: 1.3rem; }
  table { font-size: .8rem; }
  th, td { padding: .28rem .12rem; }
  tbody th { min-width: 3.6rem; }
  td small, th small { font-size: .75rem; white-space: normal; }
  td small { max-width: 4.4rem; margin-left: auto; }
  table.confusion td small { margin: 0 auto; }
  table.facts td small { margin: 0; max-width: none; }
}
@media print {
  @page { margin: 15mm; }
  html { font-size: 9.5pt; }
  body { max-width: none; padding: 0; }
  figure img { max-width: 9cm; }
  table:not(.thresholds) { break-inside: avoid; }
  h2, h3, caption { break-after: avoid; }
  tr, .limits li, .tiles li { break-inside: avoid; }
  thead { display: table-header-group; }
  .tiles li, .limits, tr.chosen td, tr.chosen th, table.confusion td { print-color-adjust: exact;
    -webkit-print-color-adjust: exact; }
  .pair { grid-template-columns: 1fr 1fr; }
  details::details-content { content-visibility: visible; height: auto; }
}
"""
