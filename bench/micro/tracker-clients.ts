import { type ChildProcess, fork } from 'node:child_process';
import { join } from 'node:path';
import type { KeyPair } from '../../lib/security/cluster-authority.ts';

/** What a process full of clients is told; each order is answered by one {@link ClientsReport}. */
export type ClientsOrder =
  /** The next order's connections are over TLS, each with a certificate of this authority: they are made now. */
  | { readonly kind: 'certify'; readonly authority: KeyPair; readonly first: number; readonly count: number }
  /** Open `count` control connections, of nodes number `first` and up, and say hello on each. */
  | { readonly kind: 'connect'; readonly url: string; readonly first: number; readonly count: number }
  /** The first `nodes` of them announce an image of `layers` in one message each, and wait for all answers. */
  | {
      readonly kind: 'announce';
      readonly nodes: number;
      readonly layers: number;
      readonly have: 'none' | 'some';
    }
  /** Every connection sends heartbeats, evenly spread over `everyMs`, until told otherwise (0). */
  | { readonly kind: 'heartbeats'; readonly everyMs: number }
  /** So many clients of the baseline announce one torrent over HTTP, `atOnce` connections kept open between them. */
  | { readonly kind: 'http'; readonly url: string; readonly announces: number; readonly atOnce: number }
  | { readonly kind: 'look' };

export interface ClientsReport {
  /** Connections that ended, since the start. */
  readonly dropped: number;
  /** Blobs that were named in answers to this order, or announcements over HTTP that were answered. */
  readonly answered: number;
  readonly seconds: number;
  /** Longest wait for the answer to a heartbeat since the last order. */
  readonly heartbeatMaxMs: number;
  readonly heartbeats: number;
  /** What went wrong, when the order could not be carried out. */
  readonly problem?: string;
}

/** Processes that hold the client ends of thousands of connections. */
export class ClientProcesses {
  readonly #processes: readonly ChildProcess[];

  private constructor(processes: readonly ChildProcess[]) {
    this.#processes = processes;
  }

  static async start(count: number): Promise<ClientProcesses> {
    const started = Array.from({ length: count }, () =>
      fork(join(import.meta.dirname, 'tracker-clients-main.ts')),
    );
    const processes = new ClientProcesses(started);
    await processes.tell(() => ({ kind: 'look' }));
    return processes;
  }

  get count(): number {
    return this.#processes.length;
  }

  /** Gives each process its order at the same moment. @throws Error when one of them could not carry it out */
  async tell(orderOf: (index: number) => ClientsOrder): Promise<readonly ClientsReport[]> {
    const reports = this.#processes.map((child, index) => {
      const { promise, resolve, reject } = Promise.withResolvers<ClientsReport>();
      const gone = (): void => reject(new Error('a process of clients ended'));
      child.once('exit', gone);
      child.once('message', (report: ClientsReport) => {
        child.off('exit', gone);
        if (report.problem === undefined) resolve(report);
        else reject(new Error(report.problem));
      });
      child.send(orderOf(index));
      return promise;
    });
    return await Promise.all(reports);
  }

  stop(): void {
    for (const child of this.#processes) child.kill();
  }
}
