import type { DaemonConfig } from '../daemon/config.ts';
import type { SharesOptions } from './shares.ts';

/** Of a tracker whose control address alone is known. */
const PUBLIC_PORT = 8401;

/** How a daemon shares with BitTorrent clients. */
export function shareOptions(
  { btListen, btTracker, btUploadRate, enroll, tracker }: DaemonConfig,
  isSecure: boolean,
): Omit<SharesOptions, 'folder'> {
  const scheme = isSecure ? 'https' : 'http';
  const publicPorts = tracker.map((url) => `${scheme}://${new URL(url).hostname}:${PUBLIC_PORT}`);
  // Clients may come by another name, or through a proxy that takes no certificate of ours.
  const own = isSecure ? (enroll.length > 0 ? enroll : publicPorts) : [];
  return {
    listen: btListen,
    uploadRate: btUploadRate,
    announceTo: btTracker.length > 0 ? btTracker : own.length > 0 ? own : publicPorts,
    publishTo: own.length > 0 ? own : btTracker.length > 0 ? btTracker : publicPorts,
  };
}
