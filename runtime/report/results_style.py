"""The look of a report's results: outcomes by colour and by word, a table that fits a telephone, a gallery."""

RESULTS_STYLE = """
:root { --again: #8a3a6d }
@media screen and (prefers-color-scheme: dark) { :root { --again: #e29ac4 } }
.o-refer, .o-not-classified { color: var(--bad) } .o-uncertain { color: var(--warn) }
.o-no-sign-found { color: var(--good) } .o-retake { color: var(--again) } .o-classified { color: var(--c0) }
.tile small { display: block }
.first { list-style: none; padding: 0; margin: .5rem 0 }
.first li { padding: .35rem 0; border-bottom: 1px solid var(--line) }
.first b { display: inline-block; min-width: 8.5rem } .name, .images td { overflow-wrap: anywhere }
.first small, .images small, figcaption small { color: var(--soft) } .images small { display: block }
.tools { display: flex; flex-wrap: wrap; gap: .5rem 1.25rem; align-items: center; margin: .75rem 0 }
.tools[hidden], tr[hidden] { display: none } #said { color: var(--soft); font-size: .875rem }
.tools label { display: flex; gap: .5rem; align-items: center; flex-wrap: wrap }
input, select, button { font: inherit; color: inherit; background: var(--paper); border: 1px solid var(--soft);
  border-radius: .35rem; padding: .3rem .5rem; max-width: 100% }
.images th { padding: 0 } .images th:not(:has(button)) { padding: .35rem .6rem }
.images th button { border: 0; background: none; width: 100%; text-align: inherit; padding: .35rem .6rem;
  font-weight: 600; cursor: pointer }
.images th:first-child button, .images th:first-child, .images td:first-child { padding-left: 0 !important }
.images th[aria-sort=ascending] button::after { content: " ▲" }
.images th[aria-sort=descending] button::after { content: " ▼" }
.images td { white-space: normal; vertical-align: top }
.images td:nth-child(2), .images th:nth-child(2) { text-align: left }
.images td:nth-child(n+2) { white-space: nowrap }
.images thead th { position: sticky; top: 0; background: var(--paper) }
.gallery { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 18rem), 1fr)) }
.gallery img { display: block; max-width: 100%; height: 9rem; object-fit: contain; object-position: left }
@media (max-width: 36rem) {
  .images td, .images th:not(:has(button)), .images th button { padding: .35rem .3rem } .images { font-size: .875rem }
  .first b { display: block }
}
@media print {
  .tools { display: none } .images thead { display: table-header-group } .images thead th { position: static }
  .images th button::after { content: none !important } .gallery figure { break-inside: avoid }
}
"""
