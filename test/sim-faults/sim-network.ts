import type {
  Link,
  LinkListener,
  PeerNetwork,
  PeerServerHandlers,
  SignOfLife,
} from '../../lib/transfer/seams.ts';
import type { SimProcess } from './sim-process.ts';

/** Told of each message that comes in. */
export type Hears = (from: string, message: Uint8Array) => void;

/** The network of a host as one process on it sees it: nothing goes out from a dead process, and nothing comes in. */
export function processNetwork(
  process: SimProcess,
  network: PeerNetwork,
  hears: Hears = () => {},
): PeerNetwork {
  return {
    async fetch(request, into, options) {
      const { onProgress } = options;
      const gated = onProgress && ((bytes: number) => process.run(() => onProgress(bytes)));
      await process.ask(() =>
        network.fetch(request, into, { ...options, ...(gated === undefined ? {} : { onProgress: gated }) }),
      );
    },
    connectBack: (to, options) => process.ask(() => network.connectBack(to, options)),
    fetchSmall: (request, options) => process.ask(() => network.fetchSmall(request, options)),
    askCapability: (asked, { onSign, signal }) => {
      const gated = onSign && ((sign: SignOfLife) => process.run(() => onSign(sign)));
      return process.ask(() => network.askCapability(asked, { signal, ...(gated && { onSign: gated }) }));
    },
    dial: async (address, options) =>
      processLink(process, await process.ask(() => network.dial(address, options)), hears),
    listen: (address, handlers) =>
      process.ask(() => network.listen(address, processHandlers(process, handlers, hears))),
    close: () => process.ask(() => network.close()),
  };
}

function processHandlers(
  process: SimProcess,
  handlers: PeerServerHandlers,
  hears: Hears,
): PeerServerHandlers {
  return {
    link: (link) => process.run(() => handlers.link(processLink(process, link, hears))),
    piece: (asked) => {
      if (!process.alive) return { kind: 'unknown' };
      const admission = handlers.piece(asked);
      if (admission.kind !== 'serve') return admission;
      return {
        ...admission,
        read: (offset, into) => process.ask(() => admission.read(offset, into)),
        idle: () => process.run(() => admission.idle()),
        done: (sentBytes) => process.run(() => admission.done(sentBytes)),
      };
    },
    smallBlobs: (asked, options) =>
      process.ask(async () => (await handlers.smallBlobs?.(asked, options)) ?? []),
    ...(handlers.capability && {
      capability: (from, question, options) =>
        process.ask(async () => await handlers.capability?.(from, question, options)),
    }),
  };
}

function processLink(process: SimProcess, link: Link, hears: Hears): Link {
  return {
    remoteHost: link.remoteHost,
    member: link.member,
    get bufferedBytes() {
      return link.bufferedBytes;
    },
    send(message) {
      if (process.alive) link.send(message);
    },
    listen(listener: LinkListener) {
      link.listen({
        message: (message) =>
          process.run(() => {
            hears(link.remoteHost, message);
            listener.message(message);
          }),
        closed: (reason) => process.run(() => listener.closed(reason)),
      });
    },
    close(reason) {
      if (process.alive) link.close(reason);
    },
  };
}
