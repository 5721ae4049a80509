import { readdirSync, readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { Agent, request } from 'undici';
import { run } from '../../bench/fixtures/child.ts';
import { startDockerRegistry } from '../../bench/fixtures/docker-registry.ts';
import { createImage } from '../../bench/fixtures/image.ts';
import { createNetwork } from '../../bench/fixtures/network.ts';
import { pushImage } from '../../bench/fixtures/push-image.ts';
import { countersSince } from '../../bench/fixtures/registry-counters.ts';
import { renderChart } from '../../scripts/manifests/chart.ts';
import { skipReason } from '../helpers/clients/client.ts';
import { containersStorage } from '../helpers/clients/containers-image.ts';
import { makePodsFolder, removePods } from '../helpers/kubernetes/left-behind.ts';
import { ofKind, readObjects } from '../helpers/kubernetes/objects.ts';
import { type RunningPod, runPod } from '../helpers/kubernetes/run-pod.ts';
import { buildImage } from '../helpers/our-image.ts';

const skip = skipReason({ programs: ['docker-registry', 'podman', 'runc', 'ip'] });
const bin = (name: string): string => join(import.meta.dirname, '..', '..', 'bin', name);
const MIB = 1024 * 1024;
const NAME = 'registry.test';

t.test(
  'the pods of the chart run as they are written, share an image, and leave nothing behind',
  { skip },
  async (t) => {
    const out = await makePodsFolder();
    const pods: RunningPod[] = [];
    const network = await createNetwork({ nodes: 5, bytesPerSecond: 100 * MIB });
    t.teardown(async () => {
      for (const pod of pods.reverse()) await pod.stop();
      await removePods(out, process.pid);
    });
    const registry = await startDockerRegistry({
      folder: join(out, 'registry'),
      listen: `${network.host}:0`,
    });
    t.teardown(() => registry.stop());
    const image = await createImage({
      ...{ folder: join(out, 'image'), tag: 'v1', totalBytes: 40 * MIB, layers: 3, seed: 'pods' },
    });
    await pushImage(image, { registry: registry.url, repository: 'team/app' });

    await mkdir(join(out, 'podman'));
    const env = await containersStorage(join(out, 'podman'));
    const ours = await buildImage(out);
    const loaded = await run('podman', ['load', '--quiet', '--input', ours.file], { env });
    t.equal(loaded.code, 0, loaded.output);

    const caDir = join(out, 'ca');
    const damselfly = async (...words: string[]): Promise<string> => {
      const { code, output, stdout } = await run(bin('damselfly'), [...words, '--ca-dir', caDir]);
      t.equal(code, 0, output);
      return stdout.trim();
    };
    await damselfly('ca', 'init');
    const token = (role: string): Promise<string> => damselfly('token', 'create', '--role', role);
    const secrets = {
      'damselfly-ca': Object.fromEntries(
        readdirSync(caDir).map((file) => [file, readFileSync(join(caDir, file), 'utf8')]),
      ),
      'damselfly-join': { node: await token('node'), supernode: await token('supernode') },
      'admin-token': { token: 'secret-of-the-admin-ports' },
      api: { 'api-keys': 'bearer key-of-the-api\n', 'live-token': 'of-the-live-page' },
      corp: { 'corp.pem': readFileSync(join(caDir, 'ca.crt'), 'utf8') },
    };

    const objects = readObjects(
      [
        ...renderChart({
          upstreams: [{ name: NAME, url: registry.url, ca: '/etc/damselfly-registry/corp.pem' }],
          registryFilesSecret: 'corp',
          adminTokenSecret: 'admin-token',
          tracker: { apiSecret: 'api' },
          zones: [{ name: 'eu-1' }],
        }).values(),
      ].join('---\n'),
    );
    const [places, hosts] = [network.nodes, {} as Record<string, string>];
    for (const index of [0, 1]) {
      hosts[`damselfly-tracker-${index}.damselfly-tracker`] = places[index]?.peerHost ?? '';
    }
    const start = async (
      kind: 'StatefulSet' | 'DaemonSet',
      name: string,
      at: number,
    ): Promise<RunningPod> => {
      const found = [...ofKind(objects, 'StatefulSet'), ...ofKind(objects, 'DaemonSet')].find(
        (each) => each.kind === kind && each.metadata.name === name,
      );
      if (found === undefined) throw new Error(`no ${kind} ${name}`);
      const machine = join(out, `machine-${at}`);
      const { namespace = '', peerHost: address = '' } = places[at] ?? {};
      const place = { machine, namespace, address, objects, secrets, hosts, env, image: ours.name };
      const pod = await runPod(`p${at}`, found.spec.template.spec, {
        ...place,
        folder: join(out, `pod-${at}`),
      });
      pods.push(pod);
      return pod;
    };

    const containerd = join(out, 'machine-4', 'etc', 'containerd');
    await mkdir(containerd, { recursive: true });
    const original = '# of the machine\nversion = 2\n';
    await writeFile(join(containerd, 'config.toml'), original);

    const trackers = [
      await start('StatefulSet', 'damselfly-tracker', 0),
      await start('StatefulSet', 'damselfly-tracker', 1),
    ];
    for (const tracker of trackers) await tracker.ready();
    await (await start('StatefulSet', 'damselfly-supernode-eu-1', 2)).ready();
    const nodes = [
      await start('DaemonSet', 'damselfly-node-eu-1', 3),
      await start('DaemonSet', 'damselfly-node-eu-1', 4),
    ];
    for (const node of nodes) await node.ready();

    const hostsToml = join(containerd, 'certs.d', NAME, 'hosts.toml');
    t.match(
      readFileSync(hostsToml, 'utf8'),
      /http:\/\/127\.0\.0\.1:65001/,
      'the runtime is told of the mirror',
    );

    const before = await registry.counters();
    for (const node of nodes) {
      const pulled = await node.exec('dfget', 'pull', '--json', `${NAME}/team/app:v1`);
      t.match(JSON.parse(pulled.trim().split('\n').at(-1) ?? ''), {
        event: 'done',
        digest: image.manifest.digest,
      });
    }
    const { bytes } = countersSince(before, await registry.counters());
    t.ok(bytes < image.bytes * 1.01, `two nodes, and the registry sent it once (${bytes} bytes)`);
    const status = JSON.parse(await (nodes[0] as RunningPod).exec('dfget', 'status', '--json')) as object;
    t.match(status, { tracker: { reachable: true } });

    // As docs/KUBERNETES.md says them.
    const trackerName = 'wss://damselfly-tracker-0.damselfly-tracker:8400';
    const authority = ['--tracker', trackerName, '--ca-dir', '/etc/damselfly-ca'];
    for (const command of ['pause', 'resume']) {
      const said = await (trackers[0] as RunningPod).exec('damselfly', command, ...authority);
      t.match(said, /whole cluster/, command);
    }
    const api = `https://${places[0]?.peerHost}:8401`;
    const dispatcher = new Agent({ connect: { rejectUnauthorized: false } });
    t.teardown(() => dispatcher.close());
    const asked = async (path: string, key = ''): Promise<number> => {
      const headers = { authorization: `Bearer ${key}` };
      const { body, statusCode } = await request(`${api}${path}`, { dispatcher, headers });
      await body.dump();
      return statusCode;
    };
    t.equal(await asked('/api/v1/preheats', 'key-of-the-api'), 200);
    t.equal(await asked('/api/v1/preheats', 'another'), 401);
    t.equal(await asked('/live?token=of-the-live-page'), 303, 'to the page, with a cookie');
    t.equal(await asked('/live?token=another'), 403);

    const admin = `http://${places[4]?.peerHost}:65003`;
    t.equal((await fetch(`${admin}/metrics`)).status, 401, 'metrics are for who has the token');
    const page = await fetch(`${admin}/metrics`, {
      headers: { authorization: 'Bearer secret-of-the-admin-ports' },
    });
    t.match(await page.text(), /damselfly_received_bytes_total/);

    t.same(await nodes[1]?.stop(), [0, 0], 'daemon and setup end as they are told');
    t.same(readdirSync(containerd), ['config.toml'], 'nothing of ours is left');
    t.equal(readFileSync(join(containerd, 'config.toml'), 'utf8'), original);
  },
);
