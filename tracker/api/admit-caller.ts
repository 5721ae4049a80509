import type { IncomingHttpHeaders } from 'node:http';
import { comesFromThisMachine } from '../this-machine.ts';
import { type ApiKeys, shownKey } from './api-keys.ts';

/** A request, as far as it says who asks. */
export interface Caller {
  readonly method: string;
  readonly headers: IncomingHttpHeaders;
  readonly remoteAddress: string | undefined;
  /** The connection has shown the certificate of a member of the cluster, and it counts. */
  readonly isMember: boolean;
}

export type Admission =
  | { readonly admitted: true }
  | { readonly admitted: false; readonly status: 401 | 403; readonly why: string };

const ADMITTED = { admitted: true } as const;

/**
 * Who may use the tracker's API: whoever shows a key, members of the cluster, and who is on the same machine. Of the last
 * only who comes directly and by a name of this machine: neither through a reverse proxy, nor as a web page of a name
 * that was made to lead here. No web page of another site changes anything, whatever its browser adds to the request.
 */
export function admitCaller(caller: Caller, keys: ApiKeys): Admission {
  const { headers, isMember, method } = caller;
  if (method !== 'GET' && method !== 'HEAD' && isCrossSite(headers)) {
    return { admitted: false, status: 403, why: 'web pages of other sites may change nothing here' };
  }
  const key = shownKey(keys, headers);
  if (key === 'right') return ADMITTED;
  if (key === 'wrong') return { admitted: false, status: 401, why: 'the key is none of --api-key-file' };
  if (isMember || comesFromThisMachine(caller)) return ADMITTED;
  return { admitted: false, status: 401, why: 'show a key that is in --api-key-file of this tracker' };
}

function isCrossSite(headers: IncomingHttpHeaders): boolean {
  const site = headers['sec-fetch-site'];
  if (site !== undefined && site !== 'same-origin' && site !== 'none') return true;
  const { host, origin } = headers;
  if (origin === undefined) return false;
  return !URL.canParse(origin) || new URL(origin).host !== host;
}
