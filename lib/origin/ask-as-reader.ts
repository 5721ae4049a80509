import { DamselflyError } from '../core/errors.ts';
import type { BlobOrigin } from '../core/node.ts';
import { discard, type RequestKind } from './exchange.ts';
import { askedToLogIn } from './expired-token.ts';
import type { OriginResponse } from './origin-client.ts';
import { askAsGiven, askAsOurselves, hasCredentials, type Registry } from './registry.ts';

interface Read {
  readonly kind: RequestKind;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly origin: BlobOrigin;
}

/**
 * A GET for a caller whose right to read has been checked: with the newest Authorization of that caller; when that has
 * run out since, from where the registry last sent us; then on our own account. A caller without Authorization is read
 * for on our own account at once.
 * @throws UPSTREAM_REFUSED (`facts.status`) for anything but 200 and 206; UPSTREAM_UNREACHABLE, ABORTED
 */
export async function askAsReader(
  registry: Registry,
  read: Read,
  signal: AbortSignal,
): Promise<OriginResponse> {
  const { origin, path } = read;
  let response: OriginResponse | undefined;
  for (const ask of waysToRead(registry, read, signal)) {
    if (response !== undefined) await discard(response);
    const told = await askedToLogIn(await ask());
    response = told.response;
    if (response.status === 200 || response.status === 206) {
      if (response.storage !== undefined) registry.redirects.keep(path, response.storage);
      return response;
    }
    // Only a right that has run out leaves another way: all other answers are about the blob or the registry.
    if (!told.again && response.storage === undefined) break;
  }
  const status = response?.status ?? 0;
  if (response !== undefined) await discard(response);
  throw new DamselflyError(
    'UPSTREAM_REFUSED',
    `the registry answered ${status} for ${whatOf(read)}${adviceFor(status)}`,
    {
      status,
      upstream: origin.upstream,
      repository: origin.repository,
      path,
    },
  );
}

function* waysToRead(
  registry: Registry,
  { headers: asked, kind, origin, path }: Read,
  signal: AbortSignal,
): Generator<() => Promise<OriginResponse>> {
  const request = { kind, method: 'GET', path };
  const { authorization, repository, traceparent } = origin;
  const headers = { ...asked, ...(traceparent === undefined ? {} : { traceparent }) };
  if (authorization !== undefined) {
    const newest = registry.newest.of(repository, authorization);
    for (const each of new Set([newest, authorization])) {
      yield () => askAsGiven(registry, { ...request, headers: { ...headers, authorization: each } }, signal);
    }
    const signed = registry.redirects.of(path);
    if (signed !== undefined) {
      yield () => askStorage(registry, { kind, method: 'GET', headers, url: signed }, signal);
    }
    if (!hasCredentials(registry) && registry.shownAsOurs.get(authorization) === undefined) return;
  }
  yield () => askAsOurselves(registry, { ...request, headers: { ...headers } }, signal);
}

async function askStorage(
  registry: Registry,
  request: Parameters<typeof registry.storage>[0],
  signal: AbortSignal,
): Promise<OriginResponse> {
  // Its refusals are no word of the registry.
  return { ...(await registry.storage(request, signal)), storage: request.url };
}

/** `manifest v1 of harbor.corp/team/app` */
function whatOf({ kind, origin, path }: Read): string {
  const bare = path.replace(/\?.*$/, '');
  const what = kind === 'other' ? bare : `${kind} ${bare.slice(bare.lastIndexOf('/') + 1)}`;
  return `${what} of ${origin.upstream}/${origin.repository}`;
}

function adviceFor(status: number): string {
  if (status === 401) {
    return ': container clients log in to it; for dfget pull and preheat give the daemon credentials (--auth-file, or username and password of the upstream)';
  }
  return status === 404 ? ': it is not there, or hidden from whoever asks' : '';
}
