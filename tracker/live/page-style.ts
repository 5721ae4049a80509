/** Light and dark by what the reader's system says. */
export const STYLE = `
:root {
  color-scheme: light dark;
  --paper: light-dark(#fdfdfc, #14171b);
  --card: light-dark(#ffffff, #1d2126);
  --ink: light-dark(#1f2328, #e7eaee);
  --muted: light-dark(#57606a, #a3adb8);
  --rule: light-dark(#d8dde3, #363d45);
  --empty: light-dark(#e4e8ed, #2a3037);
  --full: light-dark(#1a7f4b, #3fbf7f);
  --origin: light-dark(#b3401e, #f08a63);
  --objectStore: light-dark(#8a5a00, #e3b341);
  --supernode: light-dark(#0b5fc1, #6aa9f5);
  --peer: light-dark(#1a7f4b, #3fbf7f);
  font: 15px/1.45 system-ui, sans-serif;
  background: var(--paper);
  color: var(--ink);
}
* { box-sizing: border-box; }
body { margin: 0; }
header { display: flex; gap: 1rem; align-items: baseline; padding: .8rem 1.2rem; border-bottom: 1px solid var(--rule); }
h1 { font-size: 1.25rem; margin: 0; }
h2 { font-size: 1rem; margin: 0 0 .6rem; }
#state { margin: 0; color: var(--muted); }
#state[data-state="lost"] { color: var(--origin); font-weight: 600; }
main { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(30rem, 100%), 1fr)); gap: 1rem; padding: 1rem 1.2rem; }
section { background: var(--card); border: 1px solid var(--rule); border-radius: .5rem; padding: .9rem 1rem; min-width: 0; }
.picture { grid-row: span 2; }
.wide { grid-column: 1 / -1; }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(8.5rem, 1fr)); gap: .6rem; margin: 0 0 .8rem; }
dl div { display: flex; flex-direction: column; }
dt { color: var(--muted); font-size: .85rem; }
dd { margin: 0; font-size: 1.25rem; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
figure { margin: 0; }
figcaption { color: var(--muted); font-size: .85rem; }
canvas { display: block; width: 100%; }
.key { display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin: 0 .3em 0 .6em; }
.key.origin { background: var(--origin); }
.key.objectStore { background: var(--objectStore); }
.key.supernode { background: var(--supernode); }
.key.peer { background: var(--peer); }
.list { display: flex; flex-direction: column; gap: .3rem; max-height: 22rem; overflow: auto; }
.list button { display: grid; grid-template-columns: 9rem 5rem 1fr 8.5rem; gap: .6rem; align-items: center; text-align: left; font: inherit; font-variant-numeric: tabular-nums; color: inherit; background: none; border: 1px solid var(--rule); border-radius: .35rem; padding: .3rem .5rem; cursor: pointer; }
.list button[aria-pressed="true"] { border-color: var(--supernode); box-shadow: inset 3px 0 var(--supernode); }
progress { width: 100%; height: .7rem; accent-color: var(--full); }
:focus-visible { outline: 3px solid var(--supernode); outline-offset: 2px; }
.skip { position: absolute; left: -100vw; }
.skip:focus { left: 1rem; top: .5rem; background: var(--card); padding: .4rem .8rem; z-index: 1; }
a { color: var(--supernode); }
.scroll { max-height: 20rem; overflow: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .9rem; }
th { position: sticky; top: 0; background: var(--card); text-align: left; color: var(--muted); font-weight: 600; }
th, td { padding: .2rem .6rem .2rem 0; border-bottom: 1px solid var(--rule); white-space: nowrap; }
.wraps td:last-child { white-space: normal; }
tbody:empty::after, ul:empty::after { content: 'None now'; color: var(--muted); }
.number { text-align: right; }
input { font: inherit; color: inherit; background: var(--paper); border: 1px solid var(--rule); border-radius: .35rem; padding: .2rem .5rem; }
label, details { display: block; margin: .4rem 0; }
ul { margin: 0; padding-left: 1.1rem; }
`;
