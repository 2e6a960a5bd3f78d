"""The look of a report page. Everything is inside the page: it is read offline, printed, and kept with the figures.

Colours are Okabe and Ito's, which people with any colour vision can tell apart; lines also differ in their dashes.
"""

STYLE = """
:root {
  color-scheme: light dark;
  --ink: #1b1f24; --soft: #57606a; --line: #d8dee4; --paper: #fff; --card: #f6f8fa; --track: #eaeef2;
  --c0: #0072b2; --c1: #d55e00; --c2: #00805d; --c3: #a8578a; --c4: #9a6700; --c5: #4a6fa5;
  --good: #116329; --good-bg: #e6f5ea; --warn: #7d4e00; --warn-bg: #fff4d9; --bad: #a40e26; --bad-bg: #ffebe9;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ink: #e6edf3; --soft: #9fa9b3; --line: #30363d; --paper: #0d1117; --card: #161b22; --track: #262c34;
    --c0: #56b4e9; --c1: #f08a4b; --c2: #3fc79a; --c3: #e29ac4; --c4: #e8b13a; --c5: #9db7e0;
    --good: #7ee2a0; --good-bg: #10291a; --warn: #f2cc60; --warn-bg: #2f2410; --bad: #ffa198; --bad-bg: #3a1518;
  }
}
* { box-sizing: border-box }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 62rem;
  margin: 0 auto; padding: 1.5rem 1rem 4rem }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .5rem; padding-top: .75rem; border-top: 1px solid var(--line) }
h3 { font-size: 1rem; margin: 1.25rem 0 .25rem }
h3 small, .soft { color: var(--soft); font-weight: normal }
p { margin: .5rem 0 } .lead { font-size: 1.1rem; margin: 1rem 0 }
code { font: .92em ui-monospace, monospace; overflow-wrap: anywhere }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(10rem, 1fr)); gap: .75rem; margin: 1rem 0 }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .6rem .8rem }
.tile b { display: block; font-size: 1.5rem; line-height: 1.3; font-variant-numeric: tabular-nums; white-space: nowrap }
.tile span { display: block; font-size: .875rem } .tile small { color: var(--soft); font-size: .8125rem }
.note { border-left: .3rem solid; border-radius: .25rem; padding: .6rem .9rem; margin: .6rem 0 }
.note b { display: block } .note p { margin: .15rem 0; color: var(--ink) }
.good { color: var(--good); background: var(--good-bg) } .warn { color: var(--warn); background: var(--warn-bg) }
.bad { color: var(--bad); background: var(--bad-bg) }
figure { margin: 0 } .wide { overflow-x: auto }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
td, th { border-bottom: 1px solid var(--line); padding: .35rem .6rem; text-align: right; white-space: nowrap }
th { font-weight: 600; color: var(--soft); font-size: .875rem }
td:first-child, th:first-child { text-align: left; padding-left: 0 }
tr.total td { font-weight: 600; border-top: 2px solid var(--line) }
.rules td, .rules th { text-align: left; white-space: normal }
.facts td { text-align: left; white-space: normal; overflow-wrap: anywhere; vertical-align: top }
.facts td:first-child { color: var(--soft); width: 14rem }
dl { display: grid; grid-template-columns: 11rem 1fr; gap: .3rem 1rem } dt { font-weight: 600 } dd { margin: 0 }
.plot { display: grid; grid-template-columns: 3.5rem 1fr; gap: .25rem .5rem }
.plot svg { width: 100%; height: 11rem; display: block; overflow: visible }
.y { display: flex; flex-direction: column; justify-content: space-between; text-align: right; margin: -.6em 0 }
.x { grid-column: 2; display: flex; justify-content: space-between }
.y, .x, .marks, .legend { font-size: .8125rem; color: var(--soft); font-variant-numeric: tabular-nums }
.panels .plot svg { height: 8rem }
.marks { margin-left: 4rem } .marks div { position: relative; height: 1.5em }
.marks span { position: absolute; background: var(--paper) }
.marks .after { border-left: 2px solid var(--ink); padding-left: .3rem }
.marks .before { border-right: 2px solid var(--ink); padding-right: .3rem }
.legend { display: flex; flex-wrap: wrap; gap: .1rem 1rem; margin: 0 0 .4rem 4rem }
.legend i { display: inline-block; width: 1.5rem; margin-right: .4rem; border: 0 solid var(--own);
  border-top-width: 3px; vertical-align: middle }
svg * { vector-effect: non-scaling-stroke } .grid { stroke: var(--line) } .bar { fill: var(--c0) }
.mark { stroke: var(--ink); stroke-width: 1.5; stroke-dasharray: 4 3 } .cut { stroke: var(--c1); stroke-width: 3 }
.gone { fill: var(--warn); background: var(--warn); opacity: .25 } .legend .gone { border: 0; height: .8em }
.band { fill: var(--c0); opacity: .22 } .line { fill: none; stroke-width: 2 }
.s0 { --own: var(--c0); stroke: var(--own) } .s1 { --own: var(--c1); stroke: var(--own) }
.s2 { --own: var(--c2); stroke: var(--own) } .s3 { --own: var(--c3); stroke: var(--own) }
.s4 { --own: var(--c4); stroke: var(--own) } .s5 { --own: var(--c5); stroke: var(--own) }
.s1 { stroke-dasharray: 7 3; border-top-style: dashed !important } .s2 { stroke-dasharray: 2 3 }
.s2, .s5 { border-top-style: dotted !important } .s3 { stroke-dasharray: 10 3 2 3 } .s5 { stroke-dasharray: 4 5 }
.shares { display: flex; height: 1.75rem; border-radius: .35rem; overflow: hidden; gap: 2px; background: var(--paper) }
.parts { list-style: none; padding: 0; margin: .6rem 0; display: grid; gap: .2rem 1.5rem;
  grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr)) }
.parts li { display: grid; grid-template-columns: 1rem 1fr auto 3rem; gap: .5rem; align-items: baseline }
.parts i { height: .8rem; border-radius: .15rem } .parts b { font-variant-numeric: tabular-nums; white-space: nowrap }
.parts small { color: var(--soft); text-align: right }
.p0 { background: var(--c0) } .p1 { background: var(--c1) } .p2 { background: var(--c2) }
.p3 { background: var(--c3) } .p4 { background: var(--c4) } .p5 { background: var(--c5) }
@media (max-width: 36rem) {
  body { padding-top: 1rem } h1 { font-size: 1.25rem } .tiles { grid-template-columns: 1fr 1fr }
  dl { grid-template-columns: 1fr; gap: 0 } dd { margin-bottom: .5rem } .facts td:first-child { width: 8rem }
  .plot { grid-template-columns: 2.75rem 1fr } .marks, .legend { margin-left: 3.25rem }
  .plot svg { height: 9rem } .panels .plot svg { height: 6.5rem }
}
@media print {
  :root { color-scheme: light; --ink: #000; --soft: #444; --line: #bbb; --paper: #fff; --card: #fff;
    --c0: #0072b2; --c1: #d55e00; --c2: #00805d; --c3: #a8578a; --c4: #9a6700; --c5: #4a6fa5;
    --good: #116329; --good-bg: #fff; --warn: #7d4e00; --warn-bg: #fff; --bad: #a40e26; --bad-bg: #fff }
  body { max-width: none; margin: 0; padding: 0; font-size: 11pt } .wide { overflow: visible }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact }
  .tile, .note, figure, tr, .shares, .parts { break-inside: avoid } h2, h3 { break-after: avoid }
}
"""
