import { createHash } from 'node:crypto';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { createServer } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { jsonReady, startChild } from '../../bench/fixtures/child.ts';
import type { DaemonReady } from '../../bench/fixtures/cluster.ts';
import { skipReason } from '../helpers/clients/client.ts';
import { createStage, NAMESPACE, type Stage } from '../helpers/stage.ts';
import { openUrl } from '../helpers/upgrading.ts';

const MIB = 1024 * 1024;
const skip = skipReason({ programs: ['docker-registry'] });
const BIN = join(import.meta.dirname, '../../bin/dfget');

/** A daemon alone with a registry that holds a layer of 64 MiB: far more than sockets buffer. */
async function start(name: string, ...flags: readonly string[]) {
  const stage = await createStage(name, { image: { totalBytes: 64 * MIB, layers: 1 } });
  const daemon = await startDaemon(stage, [BIN], flags);
  const [layer] = stage.image.layers;
  const url = `http://${daemon.ready.proxy[0]?.address ?? ''}/v2/${stage.repository}/blobs/${layer?.digest ?? ''}`;
  return { stage, daemon, url, digest: layer?.digest };
}

async function startDaemon(stage: Stage, command: readonly string[], flags: readonly string[]) {
  const [file = '', ...before] = command;
  const child = await startChild<DaemonReady>({
    command: file,
    args: [
      ...[...before, 'daemon', '--json', '--insecure', '--log-level', 'warn'],
      ...['--upstream', `${NAMESPACE}=http://${stage.upstream}`, '--data-dir', join(stage.folder, 'data')],
      ...['--peer-listen', '127.0.0.1:0', '--admin-listen', '127.0.0.1:0'],
      ...['--socket', join(stage.folder, 'socket')],
      ...(flags.includes('--proxy-listen') ? flags : ['--proxy-listen', '127.0.0.1:0', ...flags]),
    ],
    logFile: join(stage.folder, 'daemon.log'),
    ready: jsonReady('daemon'),
  });
  stage.cleanup.defer(() => child.kill('SIGKILL'));
  return child;
}

const digestOfRest = async (response: IncomingMessage): Promise<string> => {
  const hash = createHash('sha256');
  for await (const chunk of response) hash.update(chunk as Buffer);
  return `sha256:${hash.digest('hex')}`;
};

/** Waits until nobody takes connections there any more. */
async function refused(url: string): Promise<void> {
  for (;;) {
    const answer = await openUrl(`${new URL(url).origin}/v2/`).catch(
      (error: NodeJS.ErrnoException) => error.code,
    );
    if (answer === 'ECONNREFUSED') return;
  }
}

t.test('SIGTERM: nothing new is taken, an answer under way is finished, exit 0', { skip }, async (t) => {
  const { daemon, digest, stage, url } = await start('drain');
  t.teardown(() => stage[Symbol.asyncDispose]());
  const response = await openUrl(url);
  const gone = daemon.kill('SIGTERM');
  await refused(url);
  t.ok(daemon.running);
  t.equal(await digestOfRest(response), digest);
  await gone;
  t.equal(daemon.exitCode, 0);
});

t.test('at the deadline what is left is cut, and the exit is as clean', { skip }, async (t) => {
  const { daemon, stage, url } = await start('drain-deadline', '--drain-timeout', '200ms');
  t.teardown(() => stage[Symbol.asyncDispose]());
  const response = await openUrl(url);
  await daemon.kill('SIGTERM');
  t.equal(daemon.exitCode, 0);
  await t.rejects(digestOfRest(response), { code: 'ECONNRESET' });
});

t.test('a second signal ends it at once', { skip }, async (t) => {
  const { daemon, stage, url } = await start('drain-twice');
  t.teardown(() => stage[Symbol.asyncDispose]());
  const response = await openUrl(url);
  const gone = daemon.kill('SIGTERM');
  await refused(url);
  process.kill(daemon.pid, 'SIGINT');
  await gone;
  t.equal(daemon.exitCode, 130);
  await t.rejects(digestOfRest(response), { code: 'ECONNRESET' });
});

t.test(
  'systemd keeps the socket: the first connection starts the daemon, and is answered',
  { skip: skip || skipReason({ programs: ['systemd-socket-activate'] }) },
  async (t) => {
    await using stage = await createStage('socket-activation', { image: { totalBytes: MIB, layers: 1 } });
    const free = createServer().listen(0, '127.0.0.1');
    await once(free, 'listening');
    const { port } = free.address() as { port: number };
    await new Promise((resolve) => free.close(resolve));
    const address = `127.0.0.1:${port}`;
    const [layer] = stage.image.layers;
    const asking = (async () => {
      const url = `http://${address}/v2/${stage.repository}/blobs/${layer?.digest ?? ''}`;
      for (;;) {
        const answer = await openUrl(url).catch((error: NodeJS.ErrnoException) => error);
        if (!(answer instanceof Error)) return await digestOfRest(answer);
        if (answer.message.includes('status')) throw answer;
      }
    })();
    const activate = ['systemd-socket-activate', '--listen', address, '--fdname=proxy'];
    // It starts programs with an empty environment.
    const env = [`--setenv=PATH=${process.env['PATH'] ?? ''}`, `--setenv=HOME=${stage.folder}`];
    const daemon = await startDaemon(stage, [...activate, ...env, BIN], ['--proxy-listen', address]);
    t.equal(daemon.ready.proxy[0]?.address, address);
    t.equal(await asking, layer?.digest);
  },
);
