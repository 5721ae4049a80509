/** Control connections of thousands of nodes in one process, driven over IPC; see tracker-clients.ts. */
import { Agent, get } from 'node:http';
import { WebSocket } from 'ws';
import { digestOf } from '../../lib/core/digest.ts';
import { mutualTls, type TlsKeys } from '../../lib/security/system/mutual-tls.ts';
import { encodeControl } from '../../lib/wire/control-codec.ts';
import { openAuthority } from '../fixtures/certificates.ts';
import type { ClientsOrder, ClientsReport } from './tracker-clients.ts';

/** An order that takes longer has failed. */
const DEADLINE_MS = 180_000;
const DIALS_AT_ONCE = 100;
/** Nodes that share one loopback address. */
const NODES_PER_HOST = 1000;
const INFO_HASH = '%12%34%56%78%9a%bc%de%f1%23%45%67%89%ab%cd%ef%12%34%56%78%9a';
const TICK_MS = 20;

interface Client {
  readonly socket: WebSocket;
  /** When its heartbeat went out that is not answered yet. */
  beatAtMs: number | undefined;
}

const clients: Client[] = [];
let dropped = 0;
let answered = 0;
let heartbeats = 0;
let heartbeatMaxMs = 0;
let wake = (): void => {};
let beating: NodeJS.Timeout | undefined;

function heard(client: Client, text: string): void {
  if (text.startsWith('{"type":"neighbours"')) {
    const { blobs } = JSON.parse(text) as { readonly blobs: readonly unknown[] };
    answered += blobs.length;
    wake();
  } else if (text.startsWith('{"type":"heartbeat"') && client.beatAtMs !== undefined) {
    heartbeats++;
    heartbeatMaxMs = Math.max(heartbeatMaxMs, performance.now() - client.beatAtMs);
    client.beatAtMs = undefined;
  }
}

/** The id of a node among peers. */
const idOf = (node: number): string => node.toString(16).padStart(40, '0');

/** By number of the node. */
const keys = new Map<number, TlsKeys>();

async function certify({ authority, first, count }: ClientsOrder & { kind: 'certify' }): Promise<void> {
  const own = openAuthority(authority);
  for (let node = first; node < first + count; node++) keys.set(node, await own.issue(idOf(node), 'node'));
}

function dial(url: string, node: number): Promise<void> {
  const host = Math.floor(node / NODES_PER_HOST);
  const localAddress = `127.1.${host >> 8}.${(host & 0xff) + 1}`;
  const own = keys.get(node);
  // The bench measures the tracker; who it is was settled when it was started.
  const tls = own === undefined ? {} : { ...mutualTls(own), rejectUnauthorized: false };
  const socket = new WebSocket(url, { localAddress, perMessageDeflate: false, ...tls });
  const client: Client = { socket, beatAtMs: undefined };
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  socket.once('open', () => {
    clients.push(client);
    const peer = { id: idOf(node), role: 'node' as const, host: '', port: 65_002, zone: '' };
    socket.send(encodeControl({ type: 'hello', protocol: 1, peer, clusterTimeMs: 0 }));
    socket.once('message', () => {
      socket.on('message', (data) => heard(client, (data as Buffer).toString()));
      resolve();
    });
  });
  socket.on('error', (error) => reject(error));
  socket.on('close', () => void dropped++);
  return promise;
}

async function connect({ url, first, count }: ClientsOrder & { kind: 'connect' }): Promise<void> {
  let next = first;
  const dialNext = async (): Promise<void> => {
    while (next < first + count) await dial(url, next++);
  };
  await Promise.all(Array.from({ length: DIALS_AT_ONCE }, dialNext));
}

async function announce({ nodes, layers, have }: ClientsOrder & { kind: 'announce' }): Promise<void> {
  const blobs = Array.from({ length: layers }, (_, layer) => ({
    digest: digestOf(Buffer.from(`layer ${layer}`)),
    size: 100_000_000 + layer,
    have,
  }));
  const text = encodeControl({ type: 'announce', blobs });
  const { promise, resolve } = Promise.withResolvers<void>();
  wake = () => {
    if (answered >= nodes * layers) resolve();
  };
  for (const { socket } of clients.slice(0, nodes)) socket.send(text);
  await promise;
}

function beat(everyMs: number): void {
  clearInterval(beating);
  if (everyMs === 0) return;
  const startedMs = performance.now();
  let sent = 0;
  beating = setInterval(() => {
    const due = ((performance.now() - startedMs) / everyMs) * clients.length;
    for (; sent < due; sent++) {
      const client = clients[sent % clients.length]!;
      if (client.beatAtMs !== undefined || client.socket.readyState !== WebSocket.OPEN) continue;
      client.beatAtMs = performance.now();
      client.socket.send('{"type":"heartbeat"}');
    }
  }, TICK_MS);
}

/** One announcement of a client with an address and a peer id of its own. */
function announceOverHttp(agent: Agent, url: string, client: number): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const peer = client.toString().padStart(20, '0');
  const query = `info_hash=${INFO_HASH}&peer_id=${peer}&port=${1024 + (client % 60_000)}&uploaded=0&downloaded=0&left=100&event=started&compact=1&numwant=10`;
  get(`${url}?${query}`, { agent }, (response) => {
    response.resume();
    response.once('end', () => {
      if (response.statusCode === 200) resolve();
      else reject(new Error(`the baseline answered ${response.statusCode}`));
    });
  }).once('error', reject);
  return promise;
}

async function announceAllOverHttp({
  url,
  announces,
  atOnce,
}: ClientsOrder & { kind: 'http' }): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: atOnce });
  let next = 0;
  const announceNext = async (): Promise<void> => {
    while (next < announces) {
      await announceOverHttp(agent, url, next++);
      answered++;
    }
  };
  await Promise.all(Array.from({ length: atOnce }, announceNext));
  agent.destroy();
}

async function carryOut(order: ClientsOrder): Promise<void> {
  answered = 0;
  if (order.kind === 'certify') await certify(order);
  else if (order.kind === 'connect') await connect(order);
  else if (order.kind === 'announce') await announce(order);
  else if (order.kind === 'http') await announceAllOverHttp(order);
  else if (order.kind === 'heartbeats') beat(order.everyMs);
}

process.once('disconnect', () => process.exit());
process.on('message', (order: ClientsOrder) => {
  const startedMs = performance.now();
  const report = (problem?: string): void => {
    clearTimeout(deadline);
    const seconds = (performance.now() - startedMs) / 1000;
    const result: ClientsReport = { dropped, answered, seconds, heartbeatMaxMs, heartbeats };
    process.send?.(problem === undefined ? result : { ...result, problem });
    heartbeatMaxMs = 0;
    heartbeats = 0;
  };
  const deadline = setTimeout(
    () => report(`${order.kind}: not done after ${DEADLINE_MS} ms, ${answered} answers`),
    DEADLINE_MS,
  );
  carryOut(order).then(
    () => report(),
    (error: unknown) => report(`${order.kind}: ${(error as Error).message}`),
  );
});
