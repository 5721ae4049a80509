import type { KeyObject } from 'node:crypto';
import { z } from 'zod';
import { DamselflyError } from '../core/errors.ts';
import type { MemberRole } from './identity.ts';
import { isSignedBy, signText, splitSignedText } from './signed-text.ts';

/** Certificates that count no more although they have not expired. The list with the highest number holds. */
export interface RevocationList {
  readonly number: number;
  /** Serial numbers, lower-case hex. */
  readonly serials: readonly string[];
  /** Members, `ROLE/NAME`, whatever certificate they show: they get no new one either. */
  readonly members: readonly string[];
}

export const NOTHING_REVOKED: RevocationList = { number: 0, serials: [], members: [] };

const PREFIX = 'dfrevoked1';
/** Of each kind: the list fits into one control message. */
export const MAX_REVOKED = 4096;
const MAX_CHARS = 900_000;

const schema = z.strictObject({
  number: z.number().int().min(1).max(Number.MAX_SAFE_INTEGER),
  serials: z.array(z.string().regex(/^[0-9a-f]{1,40}$/)).max(MAX_REVOKED),
  members: z.array(z.string().regex(/^(?:node|supernode|tracker)\/[A-Za-z0-9._-]{1,64}$/)).max(MAX_REVOKED),
});

/**
 * The list with one more, or the same when it is there already.
 * @param what `ROLE/NAME` of a member, or a serial number, hex
 * @throws CONFIG_INVALID
 */
export function withRevoked(list: RevocationList, what: string): RevocationList {
  const kind = what.includes('/') ? 'members' : 'serials';
  const value = kind === 'serials' ? what.toLowerCase() : what;
  if (list[kind].includes(value)) return list;
  const next = schema.safeParse({ ...list, number: list.number + 1, [kind]: [...list[kind], value] });
  if (next.success) return next.data;
  throw new DamselflyError(
    'CONFIG_INVALID',
    list[kind].length < MAX_REVOKED
      ? `got ${JSON.stringify(what.slice(0, 100))}; expected ROLE/NAME, such as node/NAME, or a serial number in hex`
      : `${MAX_REVOKED} are revoked already; a new authority for the cluster makes an end of them all`,
  );
}

export function isRevoked(list: RevocationList, role: MemberRole, name: string): boolean {
  return list.members.includes(`${role}/${name}`);
}

export function signRevocationList(
  { members, number, serials }: RevocationList,
  authority: KeyObject,
): string {
  return signText(PREFIX, Buffer.from(JSON.stringify({ number, serials, members })), authority);
}

/** Undefined for anything that the cluster's authority did not sign as a list. */
export function readRevocationList(text: string, authority: KeyObject): RevocationList | undefined {
  const signed = splitSignedText(PREFIX, text, MAX_CHARS);
  if (signed === undefined || !isSignedBy(PREFIX, signed, authority)) return undefined;
  try {
    return schema.parse(JSON.parse(signed.payload.toString()));
  } catch {
    return undefined;
  }
}
