import { isLoopback } from '../../core/loopback.ts';
import type { PeerInfo } from '../../core/node.ts';
import type { ControlMessage } from '../../wire/control-messages.ts';

/**
 * What a tracker told, with hosts that lead somewhere from here. It tells members' hosts as it sees them: one on its own
 * machine is on loopback for it, and for everybody else where the tracker is.
 * @param trackerHost see {@link hostFromHere}
 */
export function seenFromHere(message: ControlMessage, trackerHost: string | undefined): ControlMessage {
  if (trackerHost === undefined) return message;
  const see = (peers: readonly PeerInfo[]): PeerInfo[] =>
    peers.map((peer) => (isThisMachine(peer.host) ? { ...peer, host: trackerHost } : peer));
  switch (message.type) {
    case 'welcome':
    case 'epoch': {
      const { supernodes } = message;
      return supernodes === undefined ? message : { ...message, supernodes: see(supernodes) };
    }
    case 'neighbours':
      return { ...message, blobs: message.blobs.map((blob) => ({ ...blob, peers: see(blob.peers) })) };
    case 'dial':
      return { ...message, peers: see(message.peers) };
    case 'lease-refused':
      return { ...message, holders: see(message.holders) };
    default:
      return message;
  }
}

/** The host in a tracker's URL; undefined when that is this machine, whose loopback is the tracker's too. */
export function hostFromHere(trackerUrl: string): string | undefined {
  const host = new URL(trackerUrl).hostname.replace(/^\[|\]$/g, '');
  return isThisMachine(host) ? undefined : host;
}

function isThisMachine(host: string): boolean {
  return host === 'localhost' || isLoopback(host);
}
