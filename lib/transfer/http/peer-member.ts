import type { Socket } from 'node:net';
import { fingerprintOf } from '../../security/cluster-authority.ts';
import { peerIdOf } from '../../security/identity.ts';
import { identityOf } from '../../security/member.ts';
import { shownCertificate } from '../../security/system/mutual-tls.ts';
import type { PeerMember } from '../seams.ts';

/** Read once a connection: a piece connection asks for hundreds of pieces. */
const members = new WeakMap<Socket, PeerMember>();

/** Who is at the other end, as its certificate says; undefined on a plain connection, where nobody proves anything. */
export function memberOf(socket: Socket): PeerMember | undefined {
  const known = members.get(socket);
  if (known !== undefined) return known;
  const shown = shownCertificate(socket);
  const identity = shown === undefined ? undefined : identityOf(shown);
  if (shown === undefined || identity === undefined || identity.role === 'tracker') return undefined;
  const fingerprint = fingerprintOf(shown).toString('hex');
  const member = { id: peerIdOf(identity), role: identity.role, fingerprint };
  members.set(socket, member);
  return member;
}

/** Whether a request may speak for the node of this id: on a plain connection everybody may. */
export function isFrom(socket: Socket, id: string): boolean {
  const member = memberOf(socket);
  return member === undefined || member.id === id;
}
