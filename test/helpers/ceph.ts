import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { run } from '../../bench/fixtures/child.ts';
import type { S3Server } from './s3-server.ts';

export const CEPH_PROGRAMS = ['ceph', 'ceph-mon', 'ceph-osd', 'radosgw', 'radosgw-admin', 'monmaptool'];
/** The user that the gateway is given. */
export const CEPH_CREDENTIALS = {
  AWS_ACCESS_KEY_ID: 'DAMSELFLY',
  AWS_SECRET_ACCESS_KEY: 'damselfly',
} as const;

const BUCKET = 'blobs';
const STEP_MS = 120_000;
/** What the one disk holds; it is memory. */
const DISK_BYTES = 3 * 1024 ** 3;

/**
 * Ceph with one monitor, one disk in memory, and its RADOS gateway, which has one bucket: for tests, since nothing of it
 * outlives its processes, and everybody on this machine is let in but by the gateway.
 */
export async function startCeph(): Promise<S3Server> {
  const folder = mkdtempSync(join(tmpdir(), 'damselfly-ceph-'));
  const [monitorPort, gatewayPort] = await freePorts();
  const conf = join(folder, 'ceph.conf');
  const fsid = randomUUID();
  for (const name of ['mon', 'osd', 'rgw', 'run', 'log']) mkdirSync(join(folder, name));
  writeFileSync(conf, configuration(folder, fsid, monitorPort));
  const stops: (() => Promise<void>)[] = [];
  let closed = false;
  const close = async (): Promise<void> => {
    if (closed) return;
    closed = true;
    // The gateway first: what it would wait for is still there.
    for (const stop of stops.toReversed()) await stop();
    rmSync(folder, { recursive: true, force: true });
  };
  const act = async (command: string, ...args: string[]): Promise<void> => {
    const { code, output } = await run(command, args, { timeoutMs: STEP_MS });
    if (code !== 0) throw new Error(`${command} ${args.join(' ')}: ${output}`);
  };
  const serve = (command: string, ...args: string[]): void => {
    const logFile = join(folder, 'log', `${command}.out`);
    const log = openSync(logFile, 'w');
    const child = spawn(command, ['--conf', conf, '-f', ...args], { stdio: ['ignore', log, log] });
    closeSync(log);
    const exited = once(child, 'exit');
    void exited.then(([code]) => {
      if (!closed) process.stderr.write(`${command} ended with ${code}: ${readFileSync(logFile, 'utf8')}\n`);
    });
    stops.push(async () => {
      child.kill('SIGKILL');
      await exited;
    });
  };
  try {
    const map = join(folder, 'monmap');
    const monitor = `[v2:127.0.0.1:${monitorPort}]`;
    await act('monmaptool', '--create', '--fsid', fsid, '--addv', 'a', monitor, map);
    await act('ceph-mon', '--conf', conf, '--id', 'a', '--mkfs', '--monmap', map);
    serve('ceph-mon', '--id', 'a');
    const disk = randomUUID();
    await act('ceph', '--conf', conf, 'osd', 'new', disk);
    await act('ceph-osd', '--conf', conf, '--id', '0', '--mkfs', '--osd-uuid', disk);
    serve('ceph-osd', '--id', '0');
    serve('radosgw', '--name', 'client.rgw', `--rgw-frontends=beast endpoint=127.0.0.1:${gatewayPort}`);
    const { AWS_ACCESS_KEY_ID: key, AWS_SECRET_ACCESS_KEY: secret } = CEPH_CREDENTIALS;
    const user = [
      '--uid',
      'damselfly',
      '--display-name',
      'tests',
      '--access-key',
      key,
      '--secret-key',
      secret,
    ];
    await act('radosgw-admin', '--conf', conf, 'user', 'create', ...user);
    const endpoint = `http://127.0.0.1:${gatewayPort}`;
    await makeBucket(endpoint);
    return { url: `s3://${BUCKET}/cluster?endpoint=${endpoint}`, bucket: BUCKET, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Without cephx, and so with checksums instead of encryption; one copy of everything. */
function configuration(folder: string, fsid: string, monitorPort: number): string {
  const settings = {
    ...{ fsid, mon_host: `v2:127.0.0.1:${monitorPort}`, public_addr: '127.0.0.1', cluster_addr: '127.0.0.1' },
    ...{ auth_cluster_required: 'none', auth_service_required: 'none', auth_client_required: 'none' },
    ...{ ms_cluster_mode: 'crc', ms_service_mode: 'crc', ms_client_mode: 'crc' },
    ...{ ms_mon_cluster_mode: 'crc', ms_mon_service_mode: 'crc', ms_mon_client_mode: 'crc' },
    ...{ osd_pool_default_size: 1, osd_pool_default_min_size: 1, osd_pool_default_pg_num: 8 },
    ...{
      osd_pool_default_pg_autoscale_mode: 'off',
      mon_allow_pool_size_one: true,
      osd_crush_chooseleaf_type: 0,
    },
    ...{ osd_objectstore: 'memstore', memstore_device_bytes: DISK_BYTES },
    ...{ mon_data: join(folder, 'mon'), osd_data: join(folder, 'osd'), rgw_data: join(folder, 'rgw') },
    ...{ run_dir: join(folder, 'run'), admin_socket: join(folder, 'run', '$name.$pid.asok') },
    ...{ pid_file: join(folder, 'run', '$name.pid'), log_file: join(folder, 'log', '$name.log') },
  };
  const lines = Object.entries(settings).map(([name, value]) => `${name} = ${value}\n`);
  return `[global]\n${lines.join('')}`;
}

/** The gateway listens a moment after its pools are there. */
async function makeBucket(endpoint: string): Promise<void> {
  const [accessKeyId, secretAccessKey] = Object.values(CEPH_CREDENTIALS);
  const credentials = { accessKeyId: accessKeyId!, secretAccessKey: secretAccessKey! };
  const client = new S3Client({
    endpoint,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials,
    maxAttempts: 1,
  });
  const deadline = AbortSignal.timeout(STEP_MS);
  for (;;) {
    try {
      await client.send(new CreateBucketCommand({ Bucket: BUCKET }));
      client.destroy();
      return;
    } catch (error) {
      if (deadline.aborted || !/ECONNREFUSED/.test(String(error))) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

/** Ceph must be told its ports: two that nobody has just now. */
async function freePorts(): Promise<[number, number]> {
  const servers = [createServer(), createServer()];
  await Promise.all(servers.map((server) => once(server.listen(0, '127.0.0.1'), 'listening')));
  const [first = 0, second = 0] = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => once(server.close(), 'close')));
  return [first, second];
}
