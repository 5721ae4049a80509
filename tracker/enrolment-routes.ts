import type { X509Certificate } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { TLSSocket } from 'node:tls';
import { z } from 'zod';
import { DamselflyError, describeError, ERROR_CODES } from '../lib/core/errors.ts';
import type { Logger } from '../lib/observe/log.ts';
import { ACTS } from '../lib/security/acts.ts';
import { bundleOf, type ClusterAuthority } from '../lib/security/cluster-authority.ts';
import type { Credentials } from '../lib/security/credentials.ts';
import { enrol, renew } from '../lib/security/enrolment.ts';
import {
  CA_PATH,
  ENROLL_PATH,
  type Enrolled,
  RENEW_PATH,
  TRUST_PATH,
} from '../lib/security/enrolment-messages.ts';
import { shownCertificate } from '../lib/security/system/mutual-tls.ts';
import type { TrackerMetrics } from './metrics.ts';
import { readJson } from './read-json.ts';

/** A request is below 2 KiB. */
const MAX_BODY_BYTES = 16 * 1024;
/** A certificate takes some 3 ms to make; members of a rollout that are told "later" ask again. */
const MAX_AT_ONCE = 64;

export interface EnrolmentDeps {
  readonly authority: ClusterAuthority;
  readonly credentials: Credentials;
  readonly log: Logger;
  readonly metrics: TrackerMetrics;
  /** Milliseconds since the epoch: the cluster's time is the trackers'. */
  readonly wallClockMs: () => number;
}

const enrolBody = z.object({ request: z.string(), token: z.string(), zone: z.string() });
const renewBody = z.object({ request: z.string(), zone: z.string() });

/** Answers processes that become members, and members that stay. @returns false for other paths */
export function createEnrolmentRoutes(
  deps: EnrolmentDeps,
): (request: IncomingMessage, response: ServerResponse) => boolean {
  const { authority, credentials, log, metrics, wallClockMs } = deps;
  let atOnce = 0;

  const certify = async (path: string, request: IncomingMessage): Promise<Enrolled> => {
    const body = await readJson(request, MAX_BODY_BYTES);
    const nowMs = wallClockMs();
    let made: Awaited<ReturnType<typeof renew>>;
    if (path === ENROLL_PATH) {
      const joined = await enrol(
        authority,
        { ...enrolBody.parse(body), revoked: credentials.revoked },
        nowMs,
      );
      log.info({ ...joined.identity, token: joined.tokenId }, 'a member has enrolled');
      made = joined;
    } else {
      made = await renew(authority, { ...renewBody.parse(body), member: memberOf(deps, request) }, nowMs);
      log.debug({ ...made.identity }, 'a member has a new certificate');
    }
    metrics.certificates.inc({ role: made.identity.role });
    return { certificate: made.certificate, authority: bundleOf(authority), clusterTimeMs: nowMs };
  };

  const answer = async (path: string, request: IncomingMessage, response: ServerResponse): Promise<void> => {
    atOnce++;
    try {
      if (atOnce > MAX_AT_ONCE) return end(response, 503, { message: 'too many at once; ask again' });
      end(response, 200, await certify(path, request));
    } catch (error) {
      if (!(error instanceof DamselflyError)) {
        if (!(error instanceof z.ZodError)) throw error;
        return end(response, 400, { message: 'not a request to enrol' });
      }
      const { code, facts, message } = error;
      metrics.refused.inc({ reason: 'identity' });
      log.warn(
        { remoteHost: request.socket.remoteAddress, reason: facts['reason'] },
        `not enrolled: ${message}`,
      );
      end(response, ERROR_CODES[code].status, { code, message, facts });
    } finally {
      atOnce--;
    }
  };

  return (request, response) => {
    const path = request.url ?? '';
    if (request.method === 'GET' && path === CA_PATH) {
      response.setHeader('content-type', 'application/x-pem-file');
      response.end(bundleOf(authority));
      return true;
    }
    if (request.method === 'GET' && path === TRUST_PATH) {
      end(response, 200, credentials.news);
      return true;
    }
    if (request.method !== 'POST' || (path !== ENROLL_PATH && path !== RENEW_PATH)) return false;
    answer(path, request, response).catch((error: unknown) => {
      log.error({ problem: describeError(error) }, 'a request to enrol failed');
      response.destroy();
    });
    return true;
  };
}

/** The certificate of a member that asks for its next one. @throws IDENTITY_REFUSED */
function memberOf({ credentials }: EnrolmentDeps, { socket }: IncomingMessage): X509Certificate {
  const shown = socket instanceof TLSSocket && socket.authorized ? shownCertificate(socket) : undefined;
  const checked = credentials.check(shown, ACTS.renew);
  if (checked.kind === 'member' && shown !== undefined) return shown;
  const reason = checked.kind === 'refused' ? checked.reason : 'no-certificate';
  throw new DamselflyError('IDENTITY_REFUSED', `a certificate that does not count: ${reason}`, { reason });
}

function end(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}
