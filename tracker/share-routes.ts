import type { IncomingMessage, ServerResponse } from 'node:http';
import { TLSSocket } from 'node:tls';
import { z } from 'zod';
import { describeError } from '../lib/core/errors.ts';
import type { Logger } from '../lib/observe/log.ts';
import { ACTS } from '../lib/security/acts.ts';
import type { Credentials } from '../lib/security/credentials.ts';
import { peerIdOf } from '../lib/security/identity.ts';
import { shownCertificate } from '../lib/security/system/mutual-tls.ts';
import { MAX_SHARES, SHARES_PATH } from '../lib/wire/bittorrent-messages.ts';
import type { BittorrentShares } from './bittorrent-shares.ts';
import type { TrackerMetrics } from './metrics.ts';
import { readJson } from './read-json.ts';

/** A share takes 140 bytes. */
const MAX_BODY_BYTES = 256 * 1024;

export interface ShareRoutesDeps {
  readonly shares: BittorrentShares;
  /** Without them nobody proves anything, and anybody may share. */
  readonly credentials?: Credentials | undefined;
  readonly log: Logger;
  readonly metrics: TrackerMetrics;
}

const hex = (digits: number) => z.string().regex(new RegExp(`^[0-9a-f]{${digits}}$`));
const body = z.object({
  owner: hex(40),
  shares: z.array(z.object({ infoHash: hex(40), passkeyHash: hex(64) })).max(MAX_SHARES),
});

/** Takes from nodes what they share with BitTorrent clients. @returns false for other paths */
export function createShareRoutes(
  deps: ShareRoutesDeps,
): (request: IncomingMessage, response: ServerResponse) => boolean {
  const { log, metrics, shares } = deps;
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const refuse = (status: number, message: string): void => {
      metrics.refused.inc({ reason: 'bittorrent' });
      response.writeHead(status, { 'content-type': 'application/json', connection: 'close' });
      response.end(JSON.stringify({ message }));
    };
    const member = memberOf(deps, request);
    if (member === undefined) return refuse(403, 'only members of the cluster share something here');
    const asked = body.safeParse(await readJson(request, MAX_BODY_BYTES));
    if (!asked.success) return refuse(400, 'not a list of shares');
    const { owner, shares: list } = asked.data;
    if (member !== ANYBODY && member !== owner) return refuse(403, 'shares of another node');
    if (!shares.put(owner, list)) return refuse(503, 'this tracker is full');
    response.writeHead(204).end();
  };
  return (request, response) => {
    if (request.method !== 'PUT' || request.url !== SHARES_PATH) return false;
    answer(request, response).catch((error: unknown) => {
      log.debug({ problem: describeError(error) }, 'a list of shares did not arrive');
      response.destroy();
    });
    return true;
  };
}

const ANYBODY = '';

/** Id of the member that asks; undefined when it is none. */
function memberOf({ credentials }: ShareRoutesDeps, { socket }: IncomingMessage): string | undefined {
  if (credentials === undefined) return ANYBODY;
  const shown = socket instanceof TLSSocket && socket.authorized ? shownCertificate(socket) : undefined;
  const checked = credentials.check(shown, ACTS.share);
  return checked.kind === 'member' ? peerIdOf(checked.identity) : undefined;
}
