import { type Digest } from '../../lib/core/digest.ts';
import type { DaemonClient } from '../daemon-client.ts';
import type { FoundFile } from '../local-protocol.ts';
import type { FileSource } from './file-source.ts';

/** A file that the daemon reads through the swarm. */
export function swarmSource(client: DaemonClient, found: FoundFile & { shared: true }): FileSource {
  const { authorization, repository, size, upstream } = found;
  const origin = { upstream, repository, ...(authorization === undefined ? {} : { authorization }) };
  const digest = found.digest as Digest;
  return {
    // A beginning from the swarm is one of the source's file too.
    key: found.key,
    size,
    open(start, signal) {
      const rest = start === 0 ? {} : { range: { start, end: size }, rangeIs: 'rest' as const };
      return client.open({ digest, size, origin, ...rest }, { signal });
    },
  };
}
