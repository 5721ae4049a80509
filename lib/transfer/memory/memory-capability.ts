import { DamselflyError } from '../../core/errors.ts';
import { type Clock, every } from '../../runtime/clock.ts';
import type { CapabilityAnswer, CapabilityQuestion } from '../../wire/capability-codec.ts';
import { type PeerMember, type SignOfLife, WORKING_EVERY_MS } from '../seams.ts';
import type { MemoryFetch, MemoryServer } from './memory-fetch.ts';
import type { MemoryMedium } from './memory-medium.ts';

/**
 * One question for a capability: it travels, the server answers.
 * @param settled called exactly once
 */
export function startMemoryCapability(
  hosts: { readonly from: string; readonly server: MemoryServer },
  { clock, medium }: { readonly clock: Clock; readonly medium: MemoryMedium },
  asked: {
    readonly member: PeerMember | undefined;
    readonly question: CapabilityQuestion;
    readonly onSign?: ((sign: SignOfLife) => void) | undefined;
  },
  settled: (error: DamselflyError | undefined, answer: CapabilityAnswer | undefined) => void,
): MemoryFetch {
  const { from, server } = hosts;
  const { member, onSign, question } = asked;
  const toClient = medium.channel(server.host, from);
  const gone = new AbortController();
  let over = false;
  let stopSaying = (): void => {};
  const sign = (what: SignOfLife): void => {
    if (!over) onSign?.(what);
  };

  const settle = (error?: DamselflyError, answer?: CapabilityAnswer): void => {
    if (over) return;
    over = true;
    stopSaying();
    gone.abort();
    settled(error, answer);
  };
  const broken = (): void => settle(new DamselflyError('PEER_UNREACHABLE', 'the peer did not answer'));

  // Whatever stands still there, its kernel does not.
  if (server.handlers() !== undefined) clock.after(0, () => sign('taken'));
  medium.channel(from, server.host).carry(0, () => {
    const handlers = server.handlers();
    if (over) return;
    if (member === undefined || handlers?.capability === undefined) {
      toClient.carry(0, broken);
      return;
    }
    const works = (): void => toClient.carry(0, () => sign('works'));
    works();
    stopSaying = every(clock, WORKING_EVERY_MS, () => {
      if (!medium.frozen(server.host)) works();
    });
    handlers.capability(member, question, { signal: gone.signal }).then(
      (answer) => toClient.carry(0, () => settle(undefined, answer)),
      () => toClient.carry(0, () => settle(new DamselflyError('PEER_PROTOCOL', 'it cannot answer'))),
    );
  });
  return { settle: (error) => settle(error) };
}
