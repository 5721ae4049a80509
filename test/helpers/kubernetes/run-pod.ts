import { chmod, chown, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Child, run, startChild } from '../../../bench/fixtures/child.ts';
import { LABEL } from './left-behind.ts';
import { type Container, type KubernetesObject, ofKind, type Pod } from './objects.ts';

/** The machine that a pod is on, and what of its cluster the pod uses. */
export interface PodPlace {
  /** For volumes and logs; of this pod alone. */
  readonly folder: string;
  /** Where the machine's own folders are: what `hostPath` is about. */
  readonly machine: string;
  readonly namespace: string;
  readonly address: string;
  readonly objects: readonly KubernetesObject[];
  /** By Secret and key. */
  readonly secrets: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** Addresses by the names of DNS. */
  readonly hosts: Readonly<Record<string, string>>;
  /** Of podman. */
  readonly env: Readonly<Record<string, string>>;
  /** Where the image is, as podman names it. */
  readonly image: string;
}

export interface RunningPod {
  /** Runs a command in the container that is no init container. @returns its standard output */
  exec(...words: string[]): Promise<string>;
  /** Until the readiness probe is content. @throws Error with the log when that takes too long */
  ready(): Promise<void>;
  /** As the kubelet ends a pod: its containers, then what was started before them. @returns their exit codes */
  stop(): Promise<(number | null)[]>;
}

const READY_DEADLINE_MS = 60_000;
const PROBE_PAUSE_MS = 200;
/** Some machines let nobody raise these. */
const LIMITS = ['--ulimit', 'nofile=4096:4096', '--ulimit', 'nproc=4096:4096'];

/** Does with podman what a kubelet does with a pod of our manifests: volumes, users, rights, order, probes. */
export async function runPod(name: string, pod: Pod, place: PodPlace): Promise<RunningPod> {
  const { env } = place;
  const volumes = new Map<string, string>();
  await mkdir(place.folder, { recursive: true });
  for (const volume of pod.volumes) volumes.set(volume.name, await makeVolume(volume, pod, place));
  const started: Child<unknown>[] = [];
  const start = async (container: Container): Promise<void> => {
    const args = await podmanArgs(`${name}-${container.name}`, container, pod, place, volumes);
    const logFile = join(place.folder, `${container.name}.log`);
    started.push(await startChild({ command: 'podman', args, env, logFile, ready: (line) => line }));
  };
  for (const container of pod.initContainers ?? []) {
    if (container.restartPolicy === 'Always') {
      await start(container);
      continue;
    }
    const args = await podmanArgs(`${name}-${container.name}`, container, pod, place, volumes);
    const { code, output } = await run('podman', args, { env });
    if (code !== 0) throw new Error(`init container ${container.name}: ${output}`);
  }
  const [main] = pod.containers as [Container];
  await start(main);
  const probe = main.readinessProbe?.httpGet;
  const port = main.ports?.find((each) => each.name === probe?.port)?.containerPort;
  return {
    async exec(...words) {
      const { code, output, stdout } = await run('podman', ['exec', `${name}-${main.name}`, ...words], {
        env,
      });
      if (code !== 0) throw new Error(`${words.join(' ')}: ${output}`);
      return stdout;
    },
    async ready() {
      const signal = AbortSignal.timeout(READY_DEADLINE_MS);
      for (let last = ''; ; await sleep(PROBE_PAUSE_MS)) {
        try {
          const answer = await fetch(`http://${place.address}:${port}${probe?.path}`, { signal });
          last = await answer.text();
          if (answer.ok) return;
        } catch (error) {
          if (signal.aborted) throw new Error(`${name} is not ready: ${last}`, { cause: error });
        }
      }
    },
    async stop() {
      const codes: (number | null)[] = [];
      for (const child of started.reverse()) {
        await child.kill('SIGTERM');
        codes.push(child.exitCode);
      }
      return codes;
    },
  };
}

async function makeVolume(volume: Pod['volumes'][number], pod: Pod, place: PodPlace): Promise<string> {
  const path = join(place.folder, volume.name);
  const { fsGroup = 0 } = pod.securityContext;
  const { configMap, emptyDir, hostPath, secret } = volume;
  if (hostPath !== undefined) {
    const folder = join(place.machine, hostPath.path);
    await mkdir(folder, { recursive: true });
    return folder;
  }
  await mkdir(path);
  if (emptyDir !== undefined) await chmod(path, 0o777);
  if (configMap !== undefined) {
    const map = ofKind(place.objects, 'ConfigMap').find(({ metadata }) => metadata.name === configMap.name);
    for (const [file, text] of Object.entries(map?.data ?? {})) await writeFile(join(path, file), text);
  }
  if (secret !== undefined) {
    for (const [file, text] of Object.entries(place.secrets[secret.secretName] ?? {})) {
      await writeFile(join(path, file), text);
      await chown(join(path, file), 0, fsGroup);
      await chmod(join(path, file), secret.defaultMode ?? 0o644);
    }
  }
  return path;
}

async function podmanArgs(
  name: string,
  container: Container,
  pod: Pod,
  place: PodPlace,
  volumes: Map<string, string>,
): Promise<string[]> {
  const { capabilities, ...own } = container.securityContext;
  const { fsGroup = 0, runAsGroup, runAsUser } = { ...pod.securityContext, ...own };
  const args = [
    'run',
    '--rm',
    '--name',
    name,
    '--label',
    LABEL,
    '--network',
    `ns:/run/netns/${place.namespace}`,
    ...LIMITS,
  ];
  args.push(
    '--user',
    `${runAsUser}:${runAsGroup}`,
    '--read-only',
    '--read-only-tmpfs=false',
    '--cap-drop',
    'all',
  );
  args.push(...(capabilities.add ?? []).flatMap((each) => ['--cap-add', each]));
  args.push(
    '--security-opt',
    'no-new-privileges',
    ...(fsGroup === 0 ? [] : ['--group-add', String(fsGroup)]),
  );
  for (const [host, address] of Object.entries(place.hosts)) args.push('--add-host', `${host}:${address}`);
  for (const { name: variable, value, valueFrom } of container.env ?? []) {
    const told = valueFrom === undefined ? value : valueOf(valueFrom, place);
    if (told !== undefined) args.push('--env', `${variable}=${told}`);
  }
  for (const { mountPath, name: volume, readOnly = false } of container.volumeMounts) {
    let from = volumes.get(volume);
    if (from === undefined) {
      // A claim: empty at first, and of the pod's group.
      from = join(place.machine, 'claims', volume);
      await mkdir(from, { recursive: true });
      await chown(from, 0, fsGroup);
      await chmod(from, 0o2775);
    }
    args.push('--volume', `${from}:${mountPath}${readOnly ? ':ro' : ''}`);
  }
  return [...args, place.image, ...container.command];
}

function valueOf(
  from: NonNullable<NonNullable<Container['env']>[number]['valueFrom']>,
  place: PodPlace,
): string | undefined {
  return 'fieldRef' in from ? place.address : place.secrets[from.secretKeyRef.name]?.[from.secretKeyRef.key];
}
