import type { RedisConnection } from './redis-connection.ts';
import { decodeReport, encodeReport, type TrackerReport } from './shared-peer.ts';

/** A tracker that has not told for this long that it lives counts as gone. */
const SILENT_MS = 3_500;
/** And then what it told is removed. */
const FORGOTTEN_MS = 60_000;

/** What a tracker hears when it tells that it lives. */
export interface Heard {
  /** Incarnation -> what that tracker tells of itself, of all others that live. */
  readonly others: ReadonlyMap<string, TrackerReport>;
  /** The settings of the cluster as they are kept, if any are. */
  readonly settings: string | null;
  /** Nobody knew this one: it is the first time, or the others have taken it for gone. */
  readonly isNew: boolean;
}

/** Tells other trackers that the one of this incarnation lives, and hears of them. @throws as the connection does */
export async function beat(redis: RedisConnection, incarnation: string, own: TrackerReport): Promise<Heard> {
  const told = [incarnation, encodeReport(own), SILENT_MS, FORGOTTEN_MS];
  const [live, settings, isNew] = (await redis.run('beat', told)) as [string[], string | null, number];
  const others = new Map<string, TrackerReport>();
  for (let at = 0; at + 1 < live.length; at += 2) {
    const report = decodeReport(live[at + 1] ?? '');
    if (report !== undefined) others.set(live[at] ?? '', report);
  }
  return { others, settings, isNew: isNew === 1 };
}
