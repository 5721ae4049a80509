import t from 'tap';
import type { Digest } from '../../lib/core/digest.ts';
import { NO_TRACER, type Tracer } from '../../lib/observe/spans.ts';
import { Senders } from '../../lib/transfer/peers/senders.ts';

t.test('of neighbours without end so many are told of, and those again after that', async (t) => {
  const told: string[] = [];
  const tracer: Tracer = {
    ...NO_TRACER,
    begin(name, begin) {
      told.push(`${begin.facts?.['damselfly.peer.id']} ${begin.facts?.['damselfly.pieces.received']}`);
      return NO_TRACER.begin(name, begin);
    },
  };
  const senders = new Senders();
  const sent = { askedMs: 1, untilMs: 2, bytes: 3, overtaken: false };
  const note = (n: number): void => {
    const peer = { id: `${n}`, role: 'node', host: 'h', port: 1, zone: '' } as const;
    senders.note(peer, sent, 'trace');
  };
  for (let n = 0; n < 1000; n++) note(n);
  note(0);
  senders.tell('sha256:0' as Digest, tracer);
  t.equal(told.length, 256);
  t.equal(told[0], '0 2', 'those that are told of go on');
  note(999);
  senders.tell('sha256:0' as Digest, tracer);
  t.equal(told.at(-1), '999 1', 'the next reader begins anew');
});
