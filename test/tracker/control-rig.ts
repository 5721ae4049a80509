import { once } from 'node:events';
import type { Test } from 'tap';
import { type RawData, WebSocket } from 'ws';
import { digestOf } from '../../lib/core/digest.ts';
import type { PeerInfo, Role } from '../../lib/core/node.ts';
import { silentLog } from '../../lib/observe/log.ts';
import type { Clock } from '../../lib/runtime/clock.ts';
import { createRng } from '../../lib/runtime/rng.ts';
import { createSystemClock } from '../../lib/runtime/system-clock.ts';
import { decodeControl, encodeControl } from '../../lib/wire/control-codec.ts';
import type { ControlMessage } from '../../lib/wire/control-messages.ts';
import { createTracker } from '../../tracker/tracker.ts';

export const anyPort = { host: '127.0.0.1', port: 0 };
export const systemClock = createSystemClock();
export const peerNamed = (name: string, role: Role = 'node'): PeerInfo => ({
  id: Buffer.from(name.padEnd(20, '.')).toString('hex'),
  role,
  host: '10.0.0.1',
  port: 4000,
  zone: '',
});
export const layer = (n: number) => digestOf(Buffer.from(`layer ${n}`));

/** A real tracker on a port of its own. */
export async function start(t: Test, clock: Clock = systemClock) {
  const deps = { log: silentLog(), clock, rng: createRng(5) };
  const tracker = await createTracker(deps, {
    listen: anyPort,
    httpListen: anyPort,
    processMetrics: false,
  });
  t.teardown(() => tracker.close());
  const { port } = tracker.controlAddress;
  const url = `ws://127.0.0.1:${port}/control`;
  const connect = async (): Promise<Member> => {
    const socket = new WebSocket(url);
    t.teardown(() => socket.terminate());
    const member = new Member(socket);
    await once(socket, 'open');
    return member;
  };
  const join = async (peer: PeerInfo): Promise<Member> => {
    const member = await connect();
    member.send({ type: 'hello', protocol: 1, peer, clusterTimeMs: 0 });
    await member.next('welcome');
    return member;
  };
  const get = async (path: string): Promise<{ status: number; text: string }> => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`);
    return { status: response.status, text: await response.text() };
  };
  return { tracker, connect, join, get, url, port };
}

/** A bare control connection that collects what it is sent. */
export class Member {
  readonly socket: WebSocket;
  readonly closed: Promise<number>;
  #unread: ControlMessage[] = [];
  #wake: () => void = () => {};

  constructor(socket: WebSocket) {
    this.socket = socket;
    this.closed = once(socket, 'close').then(([code]) => code as number);
    socket.on('message', (data: RawData) => {
      const message = decodeControl((data as Buffer).toString());
      if (message !== undefined) this.#unread.push(message);
      this.#wake();
    });
    socket.on('error', () => {});
  }

  send(message: ControlMessage): void {
    this.socket.send(encodeControl(message));
  }

  /** Nothing has come that was not read. */
  get quiet(): boolean {
    return this.#unread.length === 0;
  }

  /** The next message of that type; those before it are left out. */
  async next<T extends ControlMessage['type']>(type: T): Promise<ControlMessage & { type: T }> {
    for (;;) {
      const message = this.#unread.shift();
      if (message?.type === type) return message as ControlMessage & { type: T };
      if (message === undefined) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }
}
