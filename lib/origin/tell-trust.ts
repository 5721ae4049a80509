import type { Upstream } from '../core/upstream.ts';
import type { Logger } from '../observe/log.ts';
import type { Metrics } from '../observe/metrics.ts';

/**
 * Says aloud, in the log and in a metric, where a process trusts more than it would by itself.
 * @returns the same as notes for `/readyz`
 */
export function tellTrust(upstreams: readonly Upstream[], metrics: Metrics, log: Logger): string[] {
  return upstreams.flatMap(({ insecureSkipVerify, name, trust = 'caller' }) => {
    metrics.upstreamTrust.set({ upstream: name, trust }, 1);
    const notes = [];
    if (trust === 'node') {
      notes.push(
        `trust: node for ${name}: callers without credentials read what the node's own may; everyone who reaches the proxy is one tenant`,
      );
    }
    if (insecureSkipVerify === true) {
      notes.push(`insecure-skip-verify for ${name}: any certificate is taken for it`);
    }
    for (const note of notes) log.warn({ upstream: name }, note);
    return notes;
  });
}
