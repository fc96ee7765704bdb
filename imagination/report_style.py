"""The style of a report: one sheet, for screens from 360 px up, light and dark, and for paper."""

STYLE = """
:root { color-scheme: light dark; --bg: light-dark(#f6f6f4, #141517); --surface: light-dark(#fff, #1d1f22);
  --text: light-dark(#1c1d1f, #ececee); --muted: light-dark(#5a5e64, #a9adb4); --line: light-dark(#d9dade, #34373c);
  --accent: light-dark(#2550c4, #8fb0ff); --pass: light-dark(#17703f, #5fd39a); --fail: light-dark(#b03022, #ff8f85);
  --warn: light-dark(#855300, #e8b84a); --picture: light-dark(#e7e7e3, #0c0d0e);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", sans-serif; }
*, ::before, ::after { box-sizing: border-box; }
body { margin: 0; background: var(--bg); color: var(--text); overflow-wrap: anywhere; }
main { max-width: 1100px; margin: 0 auto; padding: 1rem; }
h1, h2, h3 { line-height: 1.25; margin: 1.4em 0 .5em; }
h1 { font-size: 1.6rem; margin-top: .5em; }
h1 small { color: var(--muted); font-weight: 400; font-size: .65em; }
h2 { font-size: 1.15rem; }
h3 { font-size: .9rem; color: var(--muted); margin: 1.1em 0 .3em; }
p, ul, ol, dl { margin: 0 0 .6em; }
.hint, figcaption, footer { color: var(--muted); font-size: .875rem; }
.result { font-size: 1.1rem; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); gap: 1rem; margin-bottom: 1rem; }
figure { margin: 0; }
img { max-width: 100%; display: block; background: var(--picture); border-radius: 6px; }
.pair img { width: 100%; max-height: 40rem; object-fit: contain; }
.nopicture { background: var(--picture); color: var(--muted); padding: 4rem 1rem; text-align: center; border-radius: 6px; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .4rem .6rem .4rem 0; border-bottom: 1px solid var(--line); }
thead th { color: var(--muted); font-size: .8rem; font-weight: 400; }
thead th, td:last-child { white-space: nowrap; }
th .hint { display: block; font-weight: 400; }
.never { color: var(--warn); font-weight: 650; }
.mark { font-weight: 700; }
.pass { color: var(--pass); } .fail { color: var(--fail); } .open { color: var(--warn); } .error { color: var(--fail); }
.chart svg { width: 100%; height: auto; background: var(--surface); border: 1px solid var(--line); border-radius: 6px; }
.chart text { fill: var(--muted); font-size: 12px; }
.chart path { fill: none; stroke-width: 2; } .chart line { stroke: var(--line); }
path.score { stroke: var(--accent); } circle.score { fill: var(--accent); }
path.similarity { stroke: var(--pass); stroke-dasharray: 7 4; } circle.similarity { fill: var(--pass); }
path.denoise { stroke: var(--warn); stroke-dasharray: 2 3; } circle.denoise { fill: var(--warn); }
.key { margin-right: 1.4em; font-size: .875rem; }
.key::before { content: ""; display: inline-block; width: 1.6em; margin-right: .4em;
  vertical-align: middle; border-top: 2px solid var(--accent); }
.key.similarity::before { border-top: 2px dashed var(--pass); } .key.denoise::before { border-top: 2px dotted var(--warn); }
details { background: var(--surface); border: 1px solid var(--line); border-radius: 6px; margin-bottom: .6rem; }
summary { display: flex; flex-wrap: wrap; gap: .3rem 1rem; align-items: baseline; padding: .6rem .9rem; cursor: pointer; }
summary::before { content: "▸"; color: var(--muted); } details[open] > summary::before { content: "▾"; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.badge { font-size: .8rem; border: 1px solid currentColor; color: var(--accent); border-radius: 1em; padding: 0 .6em; }
.marks { display: inline-flex; flex-wrap: wrap; gap: 0 .4em; }
.ballots .mark { margin-right: .15em; }
.ending { white-space: pre-line; border-left: 3px solid var(--warn); padding-left: .8rem; }
ul.never { font-weight: 400; }
.about { padding: 0 .9rem .9rem; }
.plain { list-style: none; padding: 0; }
.plain li { margin-bottom: .4rem; } .plain .hint { display: block; }
.facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)); gap: .4rem 1rem; }
.facts dt { color: var(--muted); font-size: .8rem; } .facts dd { margin: 0; }
.prompt { white-space: pre-wrap; }
ins { color: var(--pass); text-decoration: underline 2px; } del { color: var(--fail); }
footer { margin: 2rem 0; }
@media (max-width: 40rem) {
  table, tbody { display: block; }
  thead { position: absolute; clip-path: inset(50%); }
  tr { display: grid; grid-template-columns: 1.2em minmax(0, 1fr) auto; border-bottom: 1px solid var(--line); }
  th, td { border: 0; padding: .3rem .6rem .3rem 0; }
  td:last-child { grid-area: 1 / 3; padding-right: 0; font-size: .875rem; }
  td.reason { grid-area: 2 / 2 / auto / -1; padding-top: 0; }
  td.reason:empty { display: none; }
}
@media print { body { background: none; } details { break-inside: avoid; } }
"""
