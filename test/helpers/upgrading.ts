import { once } from 'node:events';
import { get, type IncomingMessage, type RequestOptions } from 'node:http';
import { join } from 'node:path';
import { run } from '../../bench/fixtures/child.ts';
import { type Cluster, proxyUrl } from '../../bench/fixtures/cluster.ts';
import { NAMESPACE, type Stage } from './stage.ts';

const DFGET = join(import.meta.dirname, '../../bin/dfget');

/**
 * Replaces the daemon of a node by a new process.
 * @param dfget whose program it is to run: this checkout's, or another's
 * @returns its id @throws Error with the words of the command
 */
export async function upgrade(cluster: Cluster, node: number, dfget = DFGET): Promise<number> {
  const socket = cluster.daemons[node]?.ready.socket ?? '';
  const { code, output, stdout } = await run(dfget, ['upgrade', '--json', '--socket', socket]);
  if (code !== 0) throw new Error(`dfget upgrade ended with ${code}: ${output}`);
  return (JSON.parse(stdout) as { pid: number }).pid;
}

/** The daemon that serves a node, whichever of its processes that is; the last one ends with the stage. */
export function followDaemon(stage: Stage, cluster: Cluster, node: number): { pid: number } {
  const first = cluster.daemons[node]?.pid ?? 0;
  const last = { pid: first };
  stage.cleanup.defer(() => {
    if (last.pid !== first) process.kill(last.pid, 'SIGTERM');
  });
  return last;
}

/** A response with status 200, its body unread. */
export async function openUrl(url: string, options: RequestOptions = {}): Promise<IncomingMessage> {
  const [response] = (await once(get(url, { agent: false, ...options }), 'response')) as [IncomingMessage];
  if (response.statusCode === 200 || response.statusCode === 206) return response;
  throw new Error(`${url}: status ${response.statusCode ?? 0}`);
}

/** Where the mirror of a node has a blob. */
export function blobUrl(stage: Stage, cluster: Cluster, digest: string, node = 0): string {
  return `${proxyUrl(cluster.daemons[node]!)}/v2/${stage.repository}/blobs/${digest}?ns=${NAMESPACE}`;
}
