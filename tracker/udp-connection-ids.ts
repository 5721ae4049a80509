import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Clock } from '../lib/runtime/clock.ts';

/** An id is good for one to two of these; BEP 15 asks for two minutes at most. */
const WINDOW_MS = 60_000;
const ID_BYTES = 8;

/** Connection ids of the UDP tracker protocol (BEP 15): proof that a client receives what is sent to its address. */
export interface UdpConnectionIds {
  /** 8 bytes. */
  issue(address: string): Buffer;
  valid(id: Uint8Array, address: string): boolean;
}

/** Ids are a keyed hash of address and time, so that nothing is remembered of clients that only said hello. */
export function createUdpConnectionIds(clock: Clock): UdpConnectionIds {
  const key = randomBytes(32);
  const idAt = (address: string, window: number): Buffer =>
    createHmac('sha256', key).update(`${window} ${address}`).digest().subarray(0, ID_BYTES);
  const window = (): number => Math.floor(clock.now() / WINDOW_MS);
  return {
    issue: (address) => idAt(address, window()),
    valid: (id, address) =>
      id.length === ID_BYTES &&
      (timingSafeEqual(id, idAt(address, window())) || timingSafeEqual(id, idAt(address, window() - 1))),
  };
}
