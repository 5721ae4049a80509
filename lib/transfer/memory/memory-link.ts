import type { Link, LinkListener, PeerMember } from '../seams.ts';
import type { Channel, MemoryMedium } from './memory-medium.ts';

/** As the WebSocket links: what they refuse, their twin refuses. */
const MAX_MESSAGE_BYTES = 4 * 1024 * 1024;
const MAX_EARLY_BYTES = 1024 * 1024;

/** Both ends of one connection. */
export interface LinkPair {
  readonly dialler: Link;
  readonly acceptor: Link;
  /** Ends both at once, as when the network under them is gone. */
  cut(reason: string): void;
}

interface End {
  readonly host: string;
  readonly out: Channel;
  listener: LinkListener | undefined;
  readonly early: Uint8Array[];
  earlyBytes: number;
  bufferedBytes: number;
  /** Nothing is sent or delivered any more. */
  ended: boolean;
  /** Why, once the owner may hear of it. */
  closed: string | undefined;
}

/** @param onClosed called once, when both ends are closed */
export function createMemoryLinkPair(
  hosts: {
    readonly dialler: string;
    readonly acceptor: string;
    readonly members?: {
      readonly dialler: PeerMember | undefined;
      readonly acceptor: PeerMember | undefined;
    };
  },
  medium: MemoryMedium,
  onClosed: () => void,
): LinkPair {
  const dialler = createEnd(hosts.dialler, medium.channel(hosts.dialler, hosts.acceptor));
  const acceptor = createEnd(hosts.acceptor, medium.channel(hosts.acceptor, hosts.dialler));

  const finish = (end: End, reason: string): void => {
    end.ended = true;
    if (end.closed !== undefined) return;
    end.closed = reason;
    end.listener?.closed(reason);
    if (dialler.closed !== undefined && acceptor.closed !== undefined) onClosed();
  };

  const deliver = (end: End, message: Uint8Array): void => {
    if (end.ended) return;
    if (end.listener !== undefined) {
      end.listener.message(message);
    } else if (end.earlyBytes + message.length > MAX_EARLY_BYTES) {
      close(end, other(end), 'too much before the handshake');
    } else {
      end.early.push(message);
      end.earlyBytes += message.length;
    }
  };

  const close = (end: End, far: End, reason: string): void => {
    end.early.length = 0;
    if (end.ended) return;
    end.ended = true;
    // Through the network, behind what was sent before: nobody is called from inside close().
    end.out.carry(0, () => {
      finish(far, reason);
      finish(end, reason);
    });
  };

  const other = (end: End): End => (end === dialler ? acceptor : dialler);

  const linkOf = (end: End, far: End): Link => ({
    remoteHost: far.host,
    member: hosts.members?.[far === dialler ? 'dialler' : 'acceptor'],
    get bufferedBytes() {
      return end.bufferedBytes;
    },
    send(message) {
      if (end.ended) return;
      if (message.length > MAX_MESSAGE_BYTES) {
        close(end, far, 'message too large');
        return;
      }
      const copy = new Uint8Array(message);
      end.bufferedBytes += copy.length;
      end.out.carry(0, () => {
        end.bufferedBytes -= copy.length;
        deliver(far, copy);
      });
    },
    listen(listener) {
      end.listener = listener;
      for (let message = end.early.shift(); message !== undefined; message = end.early.shift()) {
        listener.message(message);
      }
      if (end.closed !== undefined) listener.closed(end.closed);
    },
    close: (reason) => close(end, far, reason),
  });

  return {
    dialler: linkOf(dialler, acceptor),
    acceptor: linkOf(acceptor, dialler),
    cut(reason) {
      finish(dialler, reason);
      finish(acceptor, reason);
    },
  };
}

function createEnd(host: string, out: Channel): End {
  return {
    host,
    out,
    listener: undefined,
    early: [],
    earlyBytes: 0,
    bufferedBytes: 0,
    ended: false,
    closed: undefined,
  };
}
