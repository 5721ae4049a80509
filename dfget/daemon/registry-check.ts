import { abortedError, describeError } from '../../lib/core/errors.ts';
import { isLayoutAddress } from '../../lib/core/layout-address.ts';
import type { Upstream } from '../../lib/core/upstream.ts';
import { discard } from '../../lib/origin/exchange.ts';
import type { OriginClient } from '../../lib/origin/origin-client.ts';
import { upstreamUrls } from '../../lib/origin/upstream.ts';
import type { RegistryAnswer, RegistryWord } from '../local-protocol.ts';

/** Codes of OpenSSL and Node for a certificate that is not accepted. */
const CERTIFICATE_CODE = /CERT|SELF_SIGNED|LEAF_SIGNATURE|ISSUER|ALTNAME/;

/**
 * Asks every registry who it is, by the way that pulls take; of a family of them (`*.gcr.io`) nobody knows the names.
 * @param upstreams where they are
 * @throws ABORTED
 */
export async function askRegistries(
  origin: Pick<OriginClient, 'upstreams' | 'request'>,
  upstreams: readonly Pick<Upstream, 'name' | 'replicas' | 'url'>[],
  signal: AbortSignal,
): Promise<RegistryAnswer[]> {
  const names = origin.upstreams.filter((name) => !name.includes('*'));
  return await Promise.all(
    names.map(async (name) => {
      const upstream = upstreams.find((each) => each.name === name);
      const url = upstream === undefined ? undefined : addressOf(upstream);
      return { name, url, ...(await askRegistry(origin, name, signal)) };
    }),
  );
}

function addressOf(upstream: Pick<Upstream, 'name' | 'replicas' | 'url'>): string | undefined {
  if (isLayoutAddress(upstream.url)) return upstream.url;
  const [first] = upstreamUrls(upstream);
  return first === undefined ? undefined : `${first.href.replace(/\/$/, '')}/v2/`;
}

async function askRegistry(
  origin: Pick<OriginClient, 'request'>,
  name: string,
  signal: AbortSignal,
): Promise<RegistryWord> {
  try {
    const answer = await origin.request(
      { upstream: name, method: 'GET', path: '/v2/', headers: {} },
      { signal },
    );
    await discard(answer);
    const { date } = answer.headers;
    return { status: answer.status, date: typeof date === 'string' ? date : null };
  } catch (error) {
    if (signal.aborted) throw abortedError(signal);
    return { failed: describeError(error), certificate: CERTIFICATE_CODE.test(codeOf(error)) };
  }
}

function codeOf(error: unknown): string {
  const { cause, code } = error as { readonly cause?: unknown; readonly code?: unknown };
  return `${String(code)} ${cause === undefined ? '' : codeOf(cause)}`;
}
