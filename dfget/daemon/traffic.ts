import type { Metrics } from '../../lib/observe/metrics.ts';
import type { Traffic } from '../local-protocol.ts';

/** Blob bytes that the daemon has moved since it was started. */
export async function trafficOf({
  receivedBytes,
  sentBytes,
}: Pick<Metrics, 'receivedBytes' | 'sentBytes'>): Promise<Traffic> {
  const [received, sent] = await Promise.all([receivedBytes.get(), sentBytes.get()]);
  return {
    received: Object.fromEntries(received.values.map(({ labels, value }) => [labels.source ?? '', value])),
    sent: Object.fromEntries(sent.values.map(({ labels, value }) => [labels.to ?? '', value])),
  };
}
