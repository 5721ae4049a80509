import t from 'tap';
import type { ControlLinkListener } from '../../lib/discovery/control-link.ts';
import { TrackerLink } from '../../lib/discovery/tracker/tracker-link.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { createRng } from '../../lib/runtime/rng.ts';
import { encodeControl } from '../../lib/wire/control-codec.ts';

const HEARTBEAT_MS = 1000;
const peer = { id: 'a1'.repeat(20), role: 'node', host: '10.0.0.1', port: 65_002, zone: '' } as const;
const welcome = encodeControl({
  ...{ type: 'welcome', protocol: 1, trackerId: 'b2'.repeat(20), clusterTimeMs: 1, epoch: 1 },
  heartbeatMs: HEARTBEAT_MS,
  supernodes: [{ ...peer, role: 'supernode', host: '127.0.0.1' }],
});

/** A link to a tracker that answers at once, over connections that the test makes old. */
function setup() {
  const clock = new FakeClock();
  const dialled: { isOld: boolean; code?: number | undefined; ended: boolean }[] = [];
  const told: string[] = [];
  const link = new TrackerLink(
    {
      ...{ clock, log: silentLog(), rng: createRng(1), wallClockMs: () => 0 },
      dial: () => {
        const state: (typeof dialled)[number] = { isOld: false, ended: false };
        dialled.push(state);
        let listener: ControlLinkListener | undefined;
        const close = (code?: number): void => {
          if (state.ended) return;
          Object.assign(state, { code, ended: true });
          clock.after(5, () => listener?.closed('closed'));
        };
        return {
          get isOld() {
            return state.isOld;
          },
          get isOpen() {
            return !state.ended;
          },
          ...{ bufferedBytes: 0, send: () => {}, close, terminate: () => close() },
          listen(given) {
            listener = given;
            clock.after(1, () => given.opened?.());
            clock.after(2, () => given.message(welcome));
          },
        };
      },
    },
    { url: 'wss://tracker:8400', peer },
    {
      welcomed: () => void told.push('welcomed'),
      message: () => {},
      lost: () => void told.push('lost'),
      late: () => {},
      doubted: (doubted) => void told.push(doubted ? 'doubted' : 'believed'),
    },
  );
  const pass = (ms: number): void => {
    const untilMs = clock.now() + ms;
    while (clock.advanceToNext(untilMs));
  };
  return { dialled, link, pass, told };
}

t.test('when certificates change the connection makes way for a new one, without a pause', async (t) => {
  const { dialled, link, pass, told } = setup();
  pass(10);
  t.equal(link.connected, true);
  dialled[0]!.isOld = true;
  pass(HEARTBEAT_MS);
  t.match(dialled, [{ ended: true, code: 1000 }, { ended: false }], 'it is closed in order');
  pass(10);
  t.equal(link.connected, true, 'within milliseconds, not after a back-off');
  t.same(told, ['welcomed', 'lost', 'welcomed']);
  pass(10 * HEARTBEAT_MS);
  t.equal(dialled.length, 2, 'and that is all');
  const closing = link.close();
  pass(10);
  await closing;
});

t.test('a supernode on the tracker’s machine is where the tracker is', async (t) => {
  const { link, pass } = setup();
  pass(10);
  t.match(link.supernodes, [{ host: 'tracker' }]);
  const closing = link.close();
  pass(10);
  await closing;
});
