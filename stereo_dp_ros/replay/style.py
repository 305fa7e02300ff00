"""The report's style sheet: no file, font or script from elsewhere; light and dark; wide screens and phones."""

__all__ = ["STYLE"]

STYLE = """
:root {
  color-scheme: light dark;
  --page: #f5f6f4; --card: #ffffff; --ink: #171b1f; --soft: #59636b; --line: #dde1dd;
  --accent: #0b6e6e; --good: #1d7a46; --good-wash: #e3f3e9; --bad: #b3261e; --bad-wash: #fbe6e4;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #101417; --card: #181d21; --ink: #e8ebe9; --soft: #9aa5ab; --line: #2b3338;
    --accent: #4fc3bd; --good: #6fd39a; --good-wash: #16301f; --bad: #ff8f85; --bad-wash: #3a1a18;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
  -webkit-text-size-adjust: 100%;
}
main { max-width: 1120px; margin: 0 auto; padding: 40px 24px 64px; }
h1 { font-size: 30px; line-height: 1.2; letter-spacing: -.015em; margin: 0 0 10px; font-weight: 650;
  text-wrap: balance; }
h2 { font-size: 22px; line-height: 1.25; letter-spacing: -.01em; margin: 0 0 4px; font-weight: 620; }
h3 { font-size: 14px; margin: 0 0 10px; font-weight: 600; }
p { margin: 0 0 12px; max-width: 72ch; }
.soft { color: var(--soft); }
.head { display: flex; flex-wrap: wrap; gap: 12px 20px; align-items: flex-start; justify-content: space-between; }
.verdict { border-radius: 999px; padding: 6px 14px; font-weight: 600; font-size: 15px; white-space: nowrap; }
.verdict.good { background: var(--good-wash); color: var(--good); }
.verdict.bad { background: var(--bad-wash); color: var(--bad); }
.facts { display: flex; flex-wrap: wrap; gap: 2px 22px; margin: 0 0 28px; font-size: 14px; }
.facts div { display: flex; gap: 6px; }
.facts dt { color: var(--soft); }
.facts dd { margin: 0; }
section { margin-top: 48px; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 18px 20px; }
.scroll { overflow-x: auto; -webkit-overflow-scrolling: touch; }
table { border-collapse: collapse; width: 100%; font-size: 15px; font-variant-numeric: tabular-nums; }
th, td { padding: 8px 12px; text-align: right; white-space: nowrap; }
th { color: var(--soft); font-weight: 500; font-size: 13px; vertical-align: bottom; }
th small { display: block; font-weight: 400; font-size: 12px; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
th:last-child, td:last-child { padding-right: 0; }
td:first-child, th:first-child { position: sticky; left: 0; background: var(--card); }
tbody tr { border-top: 1px solid var(--line); }
.tiles { display: grid; grid-template-columns: repeat(4, minmax(0, 1fr)); gap: 12px; margin: 18px 0; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 12px 16px; }
.tile b { display: block; font-size: 25px; line-height: 1.25; font-weight: 620; letter-spacing: -.01em;
  font-variant-numeric: tabular-nums; }
.tile b small { font-size: 14px; font-weight: 500; color: var(--soft); margin-left: 3px; }
.tile span { font-size: 13px; color: var(--soft); }
.warnings { list-style: none; margin: 14px 0 0; padding: 12px 16px; border-radius: 12px; background: var(--bad-wash);
  color: var(--bad); font-size: 15px; overflow-wrap: anywhere; }
figure { margin: 0; min-width: 0; }
figure img { display: block; width: 100%; height: auto; border-radius: 8px; background: #12161c; }
figcaption { font-size: 13px; color: var(--soft); margin-top: 6px; }
.cloud { margin: 18px 0; }
.cloud div { position: relative; }
.cloud img { border-radius: 12px; border: 1px solid var(--line); }
.cloud canvas { position: absolute; inset: 0; width: 100%; height: 100%; border-radius: 12px; opacity: 0;
  cursor: grab; touch-action: pan-y; }
.cloud canvas.drawn { opacity: 1; }
.cloud canvas:active { cursor: grabbing; }
.cloud canvas:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
.frames { display: grid; grid-template-columns: repeat(4, minmax(0, 1fr)); gap: 10px; }
.strip { margin: 18px 0; }
.strip img { width: auto; max-width: none; height: 190px; border-radius: 8px; }
.frames.three { grid-template-columns: repeat(3, minmax(0, 1fr)); }
.frames img { cursor: zoom-in; }
.frames .wide { grid-column: 1 / -1; }
.frames .wide img { cursor: zoom-out; }
.frames .when { grid-column: 1 / -1; font-size: 13px; color: var(--soft); margin-top: 8px; }
.scales { display: flex; flex-wrap: wrap; gap: 8px 28px; margin: 14px 0 0; font-size: 12px; color: var(--soft); }
.scale { display: grid; grid-template-columns: auto 132px auto; align-items: center; gap: 8px; }
.scale i { height: 9px; border-radius: 5px; display: block; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)); gap: 12px;
  margin: 18px 0; }
.plots svg { display: block; width: 100%; max-width: 620px; height: auto; }
.plots .grid { stroke: var(--line); stroke-width: 1; }
.plots .curve { fill: none; stroke: var(--accent); stroke-width: 1.8; stroke-linejoin: round; }
.plots .reference { stroke-dasharray: 5 4; opacity: .6; }
.figures { margin: 12px 0; }
.figures th, .figures td:first-child { white-space: normal; }
.figures .note { margin: 10px 0 0; font-size: 13px; }
.plots circle { fill: var(--accent); }
.plots text { fill: var(--soft); font: 11px system-ui, sans-serif; font-variant-numeric: tabular-nums; }
.checks { list-style: none; margin: 0; padding: 0; font-size: 15px; }
.checks li { display: grid; grid-template-columns: 22px minmax(0, 1fr); gap: 8px; padding: 7px 0; }
.checks li + li { border-top: 1px solid var(--line); }
.checks .mark { font-weight: 700; }
.checks .good { color: var(--good); }
.checks .bad { color: var(--bad); }
.checks span { overflow-wrap: anywhere; }
code { font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; overflow-wrap: anywhere; }
dl.notes { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 6px 18px; font-size: 14px;
  margin: 0; }
dl.notes dt { font-weight: 600; }
dl.notes dd { margin: 0; color: var(--soft); }
@media (max-width: 720px) {
  main { padding: 24px 16px 48px; }
  h1 { font-size: 25px; }
  .frames, .frames.three { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  .frames.three figure:nth-of-type(3n + 1) { grid-column: 1 / -1; }
  .tiles { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  table { font-size: 14px; }
  th, td { padding: 8px 7px; }
  .plots text { font-size: 16px; }
  dl.notes { grid-template-columns: minmax(0, 1fr); gap: 2px; }
  dl.notes dd { margin-bottom: 10px; }
}
"""
