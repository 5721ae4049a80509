import { DamselflyError } from '../../../lib/core/errors.ts';
import { FakeClock } from '../../../lib/runtime/fake-clock.ts';
import { ClusterTime } from '../../../lib/security/cluster-time.ts';
import { decodeControl } from '../../../lib/wire/control-codec.ts';
import { type FuzzTarget, promise } from '../target.ts';

const welcome = (clusterTimeMs: unknown, name: string): object => ({
  ...{ type: 'welcome', protocol: 1, trackerId: name.repeat(20), clusterTimeMs, epoch: 2, heartbeatMs: 1000 },
});
const LAST_MS = 8.64e15;

export const target: FuzzTarget = {
  about: 'what several trackers say that the time is',
  parsers: { 'lib/security/cluster-time.ts': ['nowMs', 'heard'] },
  form: 'json',
  corpus: [
    JSON.stringify([welcome(1_800_000_000_000, 'a1'), welcome(1_800_000_000_500, 'b2')]),
    JSON.stringify([welcome(0, 'a1'), welcome(LAST_MS, 'b2'), welcome(5, 'c3')]),
    '[]',
    '{',
  ],
  parse: (input) => {
    let told: unknown;
    try {
      told = JSON.parse(input.toString());
    } catch {
      told = [];
    }
    const time = new ClusterTime(new FakeClock(), () => 1_800_000_000_000);
    for (const each of Array.isArray(told) ? told : [told]) {
      try {
        const message = decodeControl(JSON.stringify(each) ?? '');
        if (message?.type === 'welcome') time.heard(message.trackerId, message.clusterTimeMs, 0);
      } catch (error) {
        if (!(error instanceof DamselflyError)) throw error;
      }
    }
    promise(Math.abs(time.nowMs()) <= LAST_MS, 'the time is one');
  },
};
