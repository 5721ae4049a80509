import type { LiveMessage } from '../live-messages.ts';
import { byId } from './elements.ts';
import { bytesText } from './format.ts';
import {
  orderedSwarms,
  showBans,
  showMembers,
  showPreheats,
  showSharers,
  showSlow,
  showSwarms,
  showTiles,
  swarmText,
} from './panels.ts';
import { drawRates, drawSwarm } from './picture.ts';
import { apply, HISTORY_MS, NOTHING, type State } from './state.ts';

let state: State = NOTHING;
/** The swarm that the reader chose; the busiest one until then. */
let chosen: number | undefined;
let drawing = false;

function show(): void {
  drawing = false;
  // A hidden page takes the news and draws them when it is looked at.
  if (document.hidden) return;
  if (chosen !== undefined && !state.swarms.has(chosen)) chosen = undefined;
  const swarm = state.swarms.get(chosen ?? -1) ?? orderedSwarms(state)[0];
  showTiles(state);
  showSwarms(state, swarm?.n, (n) => {
    chosen = n;
    show();
  });
  showSlow(state);
  showMembers(state, byId<HTMLInputElement>('find').value);
  showPreheats(state);
  showBans(state);
  const picture = byId<HTMLCanvasElement>('picture');
  byId('picture-title').textContent = swarm === undefined ? 'No swarm is chosen' : 'Swarm';
  const text = swarm === undefined ? 'Nobody shares a blob now.' : swarmText(swarm);
  byId('picture-text').textContent = text;
  picture.setAttribute('aria-label', text);
  if (swarm !== undefined) drawSwarm(picture, state, swarm);
  picture.hidden = swarm === undefined;
  if (byId<HTMLDetailsElement>('nodes').open) showSharers(state, swarm);
  const rates = byId<HTMLCanvasElement>('rates');
  const top = bytesText(Math.round(drawRates(rates, state, HISTORY_MS)));
  byId('rates-top').textContent = `${top}/s`;
  rates.setAttribute('aria-label', `Bytes a second in the last two minutes: up to ${top} a second`);
  document.body.dataset['refresh'] = String(state.last?.refresh ?? 0);
}

/** Once a frame, however many messages have come. */
function showSoon(): void {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(show);
}

function tell(text: string, is: 'live' | 'lost'): void {
  const line = byId('state');
  // Said aloud by screen readers: only when it is another.
  if (line.textContent !== text) line.textContent = text;
  line.dataset['state'] = is;
}

const events = new EventSource('/live/events');
events.addEventListener('message', ({ data }: MessageEvent<string>) => {
  const message = JSON.parse(data) as LiveMessage;
  state = apply(state, message);
  tell(`live, every ${Number((message.everyMs / 1000).toFixed(1))} s`, 'live');
  showSoon();
});
events.addEventListener('error', () => tell('the tracker does not answer: trying again', 'lost'));
byId('find').addEventListener('input', showSoon);
byId('nodes').addEventListener('toggle', showSoon);
document.addEventListener('visibilitychange', showSoon);
window.addEventListener('resize', showSoon);
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', showSoon);
