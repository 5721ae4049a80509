import { DamselflyError } from '../../core/errors.ts';
import type { CapabilityAnswer, CapabilityQuestion } from '../../wire/capability-codec.ts';
import type { PeerMember } from '../seams.ts';
import type { MemoryFetch, MemoryServer } from './memory-fetch.ts';
import type { MemoryMedium } from './memory-medium.ts';

/**
 * One question for a capability: it travels, the server answers.
 * @param settled called exactly once
 */
export function startMemoryCapability(
  hosts: { readonly from: string; readonly server: MemoryServer },
  { medium }: { readonly medium: MemoryMedium },
  { member, question }: { readonly member: PeerMember | undefined; readonly question: CapabilityQuestion },
  settled: (error: DamselflyError | undefined, answer: CapabilityAnswer | undefined) => void,
): MemoryFetch {
  const { from, server } = hosts;
  const toClient = medium.channel(server.host, from);
  const gone = new AbortController();
  let over = false;

  const settle = (error?: DamselflyError, answer?: CapabilityAnswer): void => {
    if (over) return;
    over = true;
    gone.abort();
    settled(error, answer);
  };
  const broken = (): void => settle(new DamselflyError('PEER_UNREACHABLE', 'the peer did not answer'));

  medium.channel(from, server.host).carry(0, () => {
    const handlers = server.handlers();
    if (over) return;
    if (member === undefined || handlers?.capability === undefined) {
      toClient.carry(0, broken);
      return;
    }
    handlers.capability(member, question, { signal: gone.signal }).then(
      (answer) => toClient.carry(0, () => settle(undefined, answer)),
      () => toClient.carry(0, () => settle(new DamselflyError('PEER_PROTOCOL', 'it cannot answer'))),
    );
  });
  return { settle: (error) => settle(error) };
}
