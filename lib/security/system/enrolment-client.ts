import { X509Certificate } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import { abortedError, DamselflyError, describeError } from '../../core/errors.ts';
import { may } from '../acts.ts';
import { fingerprintOf } from '../cluster-authority.ts';
import {
  CA_PATH,
  ENROLL_PATH,
  type Enrolled,
  parseEnrolled,
  parseNews,
  parseRefusal,
  RENEW_PATH,
  TRUST_PATH,
} from '../enrolment-messages.ts';
import type { JoinToken } from '../join-token.ts';
import { identityOf } from '../member.ts';
import { certificatesIn, readRotation } from '../rotation.ts';
import type { TrustNews } from '../trust.ts';
import { mutualTls, type TlsKeys } from './mutual-tls.ts';

/** Certificates of a few KiB, or the longest list of revocations: whoever sends more is no tracker. */
const MAX_ANSWER_BYTES = 1024 * 1024;

/**
 * Asks a tracker to make this process a member. Its authority is asked for first, by whoever answers; only when that
 * is the one that the token names is the token sent, over a connection that the authority vouches for.
 * @param base URL of the tracker's public port, `https://host:8401`
 * @throws IDENTITY_REFUSED, TRACKER_UNREACHABLE, ABORTED
 */
export async function joinCluster(
  base: string,
  asked: {
    readonly token: string;
    readonly pinned: JoinToken;
    readonly request: string;
    readonly zone: string;
  },
  signal: AbortSignal,
): Promise<Enrolled> {
  const authority = await believedBy(base, asked.pinned, signal);
  const { request, token, zone } = asked;
  const answer = await exchange(base, {
    path: ENROLL_PATH,
    body: { request, token, zone },
    signal,
    tls: { ca: authority, minVersion: 'TLSv1.3', checkServerIdentity: mustBeTracker },
  });
  return enrolledBy(base, answer);
}

/**
 * Asks for the next certificate with the one that still counts.
 * @throws IDENTITY_REFUSED, TRACKER_UNREACHABLE, ABORTED
 */
export async function renewMembership(
  base: string,
  asked: { readonly keys: TlsKeys; readonly request: string; readonly zone: string },
  signal: AbortSignal,
): Promise<Enrolled> {
  const { keys, request, zone } = asked;
  const answer = await exchange(base, {
    path: RENEW_PATH,
    body: { request, zone },
    signal,
    tls: { ...mutualTls(keys), checkServerIdentity: mustBeTracker },
  });
  return enrolledBy(base, answer);
}

/**
 * The authorities, PEM, that the holder of a token may believe: the one that the token names, and the one that this one
 * says takes its place.
 */
async function believedBy(base: string, { authority }: JoinToken, signal: AbortSignal): Promise<string> {
  const tls = { rejectUnauthorized: false };
  const shown = certificatesIn(await exchange(base, { path: CA_PATH, signal, tls }));
  const at = shown.findIndex((pem) => isAuthority(pem, authority));
  const named = shown[at];
  if (named === undefined) {
    const message = `${base} is not of the cluster that the join token is for`;
    throw new DamselflyError('IDENTITY_REFUSED', message, { reason: 'other-cluster' });
  }
  if (at === 0) return named;
  const { rotation = '' } = parseNews(await exchange(base, { path: TRUST_PATH, signal, tls }));
  return `${named}${readRotation(rotation, [named])?.next ?? ''}`;
}

function isAuthority(pem: string, fingerprint: Buffer): boolean {
  try {
    return fingerprintOf(new X509Certificate(pem)).equals(fingerprint);
  } catch {
    return false;
  }
}

/**
 * What the authority has signed for everybody, as a tracker knows it: whoever answers, its signature says whether it
 * counts.
 * @throws TRACKER_UNREACHABLE, ABORTED
 */
export async function askForTrust(base: string, keys: TlsKeys, signal: AbortSignal): Promise<TrustNews> {
  const tls = { ...mutualTls(keys), checkServerIdentity: mustBeTracker };
  return parseNews(await exchange(base, { path: TRUST_PATH, signal, tls }));
}

/** For `checkServerIdentity`: which address a tracker is reached by does not matter, that it is one does. */
function mustBeTracker(_host: string, { raw }: { readonly raw: Buffer }): Error | undefined {
  const role = identityOf(new X509Certificate(raw))?.role;
  return role !== undefined && may(role, 'certify')
    ? undefined
    : new Error(`a ${role ?? 'stranger'} answers, not a tracker`);
}

function enrolledBy(base: string, text: string): Enrolled {
  const enrolled = parseEnrolled(text);
  if (enrolled === undefined) throw unreachable(base, 'it answers something else');
  return enrolled;
}

function unreachable(base: string, why: string): DamselflyError {
  return new DamselflyError('TRACKER_UNREACHABLE', `${base} does not enrol us: ${why}`);
}

/** One request, and the text of its answer. */
async function exchange(
  base: string,
  {
    body,
    path,
    signal,
    tls,
  }: {
    readonly path: string;
    readonly body?: object;
    readonly signal: AbortSignal;
    readonly tls: RequestOptions;
  },
): Promise<string> {
  const sent = body === undefined ? '' : JSON.stringify(body);
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(sent) };
  const method = body === undefined ? 'GET' : 'POST';
  let status: number | undefined;
  let text = '';
  try {
    // A connection of its own for each: what one was trusted for says nothing of the next.
    const options = { ...tls, method, signal, agent: false, ...(body === undefined ? {} : { headers }) };
    const request = httpsRequest(new URL(path, base), options);
    const answered = new Promise<IncomingMessage>((resolve, reject) => {
      request.once('response', resolve);
      request.on('error', reject);
    });
    request.end(sent);
    const response = await answered;
    status = response.statusCode;
    let bytes = 0;
    response.setEncoding('utf8');
    for await (const chunk of response as AsyncIterable<string>) {
      bytes += chunk.length;
      if (bytes > MAX_ANSWER_BYTES) throw new Error('too long an answer');
      text += chunk;
    }
  } catch (error) {
    if (signal.aborted) throw abortedError(signal);
    throw unreachable(base, describeError(error));
  }
  if (status === 200) return text;
  const told = parseRefusal(text);
  if (told === undefined) throw unreachable(base, `status ${status ?? 0}`);
  throw new DamselflyError('IDENTITY_REFUSED', `${base}: ${told.message}`, { reason: told.reason });
}
