import { describeError } from '../../lib/core/errors.ts';
import type { ControlLink, ControlLinkListener, DialControl } from '../../lib/discovery/control-link.ts';
import type { Link, PeerNetwork } from '../../lib/transfer/seams.ts';
import type { SimProcess } from './sim-process.ts';

/** Control connections over the links of a simulated network: what a WebSocket is between processes. */
export function dialSimControl(process: SimProcess, network: PeerNetwork): DialControl {
  return (url) => {
    const { hostname: host, port } = new URL(url);
    const abort = new AbortController();
    const control = new SimControlLink(process, () => abort.abort());
    network.dial({ host, port: Number(port) }, { signal: abort.signal }).then(
      (link) => control.connected(link),
      (error: unknown) => control.failed(describeError(error)),
    );
    return control;
  };
}

/** The tracker's end of a connection. */
export function acceptSimControl(process: SimProcess, link: Link): ControlLink {
  const control = new SimControlLink(process, () => {});
  control.connected(link);
  return control;
}

class SimControlLink implements ControlLink {
  readonly #process: SimProcess;
  readonly #giveUp: () => void;
  #link: Link | undefined;
  #listener: ControlLinkListener | undefined;
  #closing = false;
  #closed = false;

  constructor(process: SimProcess, giveUp: () => void) {
    this.#process = process;
    this.#giveUp = giveUp;
  }

  get isOpen(): boolean {
    return this.#link !== undefined && !this.#closing && !this.#closed;
  }

  get bufferedBytes(): number {
    return this.#link?.bufferedBytes ?? 0;
  }

  send(text: string): void {
    this.#link?.send(Buffer.from(text));
  }

  close(_code?: number, reason = ''): void {
    this.#closing = true;
    if (this.#link === undefined) this.terminate();
    else this.#link.close(reason);
  }

  terminate(): void {
    this.#closing = true;
    this.#giveUp();
    this.#link?.close('terminated');
    this.#process.clock.after(0, () => this.#end('terminated'));
  }

  listen(listener: ControlLinkListener): void {
    this.#listener = listener;
    // An accepted link may have brought something already, which it tells at once.
    if (this.#link !== undefined) this.#follow(this.#link);
  }

  connected(link: Link): void {
    this.#link = link;
    if (this.#closing) {
      link.close('not wanted any more');
      return;
    }
    if (this.#listener === undefined) return;
    this.#follow(link);
    this.#listener.opened?.();
  }

  failed(problem: string): void {
    if (this.#closed) return;
    this.#listener?.failed(problem);
    this.#end(problem);
  }

  #follow(link: Link): void {
    link.listen({
      message: (message) => {
        if (!this.#closed) this.#listener?.message(Buffer.from(message).toString());
      },
      closed: (reason) => this.#end(reason),
    });
  }

  #end(reason: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#listener?.closed(reason);
  }
}
