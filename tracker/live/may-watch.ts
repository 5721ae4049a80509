import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { comesFromThisMachine } from '../this-machine.ts';

/** Cookie that keeps the token for the page and its stream. */
export const TOKEN_COOKIE = 'damselfly-live';

/** Whether this request may see the cluster: it shows the token, or comes from this machine. */
export function mayWatch({ headers, socket }: IncomingMessage, token: string | undefined): boolean {
  const shown = shownToken(headers);
  if (token !== undefined && shown !== undefined) return sameToken(shown, token);
  return comesFromThisMachine({ headers, remoteAddress: socket.remoteAddress });
}

/** Compares without telling by its time how much was right. */
export function sameToken(shown: string, token: string): boolean {
  const hash = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(hash(shown), hash(token));
}

function shownToken({ authorization, cookie = '' }: IncomingMessage['headers']): string | undefined {
  const bearer = /^bearer +(\S+)$/i.exec(authorization ?? '')?.[1];
  if (bearer !== undefined) return bearer;
  const pair = cookie.split(/; */).find((each) => each.startsWith(`${TOKEN_COOKIE}=`));
  return pair === undefined ? undefined : decode(pair.slice(TOKEN_COOKIE.length + 1));
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
