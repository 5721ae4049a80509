import { abortedError, describeError } from '../../lib/core/errors.ts';
import { discard } from '../../lib/origin/exchange.ts';
import type { OriginClient } from '../../lib/origin/origin-client.ts';
import type { RegistryAnswer } from '../local-protocol.ts';

/** Codes of OpenSSL and Node for a certificate that is not accepted. */
const CERTIFICATE_CODE = /CERT|SELF_SIGNED|LEAF_SIGNATURE|ISSUER|ALTNAME/;

/** Asks every registry who it is, by the way that pulls take. @throws ABORTED */
export async function askRegistries(
  origin: Pick<OriginClient, 'upstreams' | 'request'>,
  signal: AbortSignal,
): Promise<RegistryAnswer[]> {
  return await Promise.all(origin.upstreams.map((name) => askRegistry(origin, name, signal)));
}

async function askRegistry(
  origin: Pick<OriginClient, 'request'>,
  name: string,
  signal: AbortSignal,
): Promise<RegistryAnswer> {
  try {
    const answer = await origin.request(
      { upstream: name, method: 'GET', path: '/v2/', headers: {} },
      { signal },
    );
    await discard(answer);
    const { date } = answer.headers;
    return { name, status: answer.status, date: typeof date === 'string' ? date : null };
  } catch (error) {
    if (signal.aborted) throw abortedError(signal);
    return { name, failed: describeError(error), certificate: CERTIFICATE_CODE.test(codeOf(error)) };
  }
}

function codeOf(error: unknown): string {
  const { cause, code } = error as { readonly cause?: unknown; readonly code?: unknown };
  return `${String(code)} ${cause === undefined ? '' : codeOf(cause)}`;
}
