import { randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { type CommandResult, run } from '../../bench/fixtures/child.ts';
import { digestOf } from '../../lib/core/digest.ts';
import { unpackArchive } from '../../lib/oci/archive/unpack.ts';
import { skipReason } from '../helpers/clients/client.ts';
import { skopeoInspect } from '../helpers/clients/load-archive.ts';
import { send } from '../helpers/fault-origin.ts';
import { freshRepository, putImage, type ScriptedCase, sentOf, TYPES } from './case.ts';
import type { Ground } from './ground.ts';
import type { TestRegistry } from './scripted-registry.ts';

const MIB = 1024 * 1024;
const DFGET = join(import.meta.dirname, '..', '..', 'bin', 'dfget');

/** `dfget pull -o` in a folder of its own, which ends with the test. */
async function saver(t: Test, { socket }: Ground) {
  const folder = await mkdtemp(join(tmpdir(), 'damselfly-archive-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const archive = join(folder, 'image.tar');
  return {
    folder,
    archive,
    left: () => readdir(folder),
    save: (image: string, ...more: string[]): Promise<CommandResult> =>
      run(DFGET, ['pull', '--socket', socket, '--json', '-o', archive, ...more, image]),
  };
}

/** The files of an archive by name; the names in their order, as often as they come. */
async function contentsOf(archive: string): Promise<{ names: string[]; files: Map<string, Buffer> }> {
  const names: string[] = [];
  const files = new Map<string, Buffer>();
  for await (const { content, name } of unpackArchive(createReadStream(archive))) {
    const chunks: Uint8Array[] = [];
    for await (const chunk of content) chunks.push(chunk);
    names.push(name);
    files.set(name, Buffer.concat(chunks));
  }
  return { names, files };
}

const fileOf = (digest: string): string => `blobs/${digest.replace(':', '/')}`;

function jsonOf(files: ReadonlyMap<string, Buffer>, name: string): unknown {
  return JSON.parse(String(files.get(name)));
}

/** An index of one image for each platform. */
async function putIndex(
  registry: TestRegistry,
  repository: string,
  platforms: readonly (readonly [os: string, architecture: string, variant?: string])[],
): Promise<{ readonly digest: string; readonly images: readonly string[] }> {
  const images: string[] = [];
  const manifests: object[] = [];
  for (const [os, architecture, variant] of platforms) {
    const { digest, manifest } = await putImage(
      registry,
      repository,
      [randomBytes(1000)],
      `v${images.length}`,
    );
    images.push(digest);
    manifests.push({
      ...{ mediaType: TYPES.image, digest, size: manifest.length },
      platform: { os, architecture, ...(variant === undefined ? {} : { variant }) },
    });
  }
  const index = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: TYPES.index, manifests }));
  return { digest: await registry.manifest(repository, TYPES.index, index, 'many'), images };
}

/** What `dfget pull` does with images and files. */
export const archiveCases: readonly ScriptedCase[] = [
  {
    number: 73,
    title:
      'an archive holds the bytes of the registry, each blob once, under names that every tool looks for',
    async run(t, { registry, ground }) {
      const repository = freshRepository();
      const layer = randomBytes(700_001);
      const { digest, manifest, layers } = await putImage(registry, repository, [
        layer,
        randomBytes(10),
        layer,
      ]);
      const { archive, left, save } = await saver(t, ground);
      const { code, output } = await save(`registry.test/${repository}:v1`);
      t.equal(code, 0, output);
      t.match(output, digest);
      t.same(await left(), ['image.tar'], 'and nothing beside it');
      const { files, names } = await contentsOf(archive);
      t.equal(new Set(names).size, names.length);
      t.same(files.get(fileOf(digest)), manifest, 'the manifest, byte for byte');
      for (const [name, bytes] of files) {
        if (name.startsWith('blobs/')) t.equal(fileOf(digestOf(bytes)), name);
      }
      t.same(jsonOf(files, 'oci-layout'), { imageLayoutVersion: '1.0.0' });
      t.match(jsonOf(files, 'index.json'), {
        manifests: [
          {
            ...{ digest, size: manifest.length, mediaType: TYPES.image },
            annotations: {
              'io.containerd.image.name': `registry.test/${repository}:v1`,
              'org.opencontainers.image.ref.name': 'v1',
            },
          },
        ],
      });
      const [docker] = jsonOf(files, 'manifest.json') as [
        { Config: string; RepoTags: string[]; Layers: string[] },
      ];
      t.same(docker.RepoTags, [`registry.test/${repository}:v1`]);
      t.same(docker.Layers, layers.map(fileOf), 'a layer that comes twice is named twice');
      t.ok(files.has(docker.Config));
      if (skipReason(skopeoInspect) === false) {
        const { code, stdout } = await run('skopeo', ['inspect', '--raw', `oci-archive:${archive}`]);
        t.same([code, stdout], [0, manifest.toString()], 'skopeo reads it');
      }
    },
  },
  {
    number: 74,
    title:
      '--platform chooses as clients do; what is not offered is told with what is; --all-platforms keeps the index',
    async run(t, { registry, ground }) {
      const repository = freshRepository();
      const { digest, images } = await putIndex(registry, repository, [
        ['linux', 'arm', 'v6'],
        ['linux', 'arm', 'v7'],
        ['linux', 'arm64', 'v8'],
        ['linux', 'amd64'],
        ['unknown', 'unknown'],
      ]);
      const { archive, save } = await saver(t, ground);
      const image = `registry.test/${repository}:many`;
      for (const [platform, at] of [
        ['linux/arm/v6', 0],
        ['linux/arm/v7', 1],
        ['linux/arm', 1],
        ['linux/arm64', 2],
        ['linux/aarch64', 2],
        ['linux/amd64', 3],
        ['linux/amd64/v1', 3],
      ] as const) {
        const { code, output } = await save(image, '--platform', platform);
        t.equal(code, 0, output);
        const { files } = await contentsOf(archive);
        t.match(jsonOf(files, 'index.json'), { manifests: [{ digest: images[at] }] }, platform);
      }
      const none = await save(image, '--platform', 'linux/s390x');
      t.equal(none.code, 2);
      const offered = 'linux/arm/v6, linux/arm/v7, linux/arm64/v8, linux/amd64';
      t.match(none.output, `not offered for linux/s390x; choose with --platform among ${offered}`);
      t.equal((await save(image, '--platform', 'linux')).code, 2, 'not a platform');
      const all = await save(image, '--all-platforms');
      t.equal(all.code, 0, all.output);
      const { files } = await contentsOf(archive);
      t.match(jsonOf(files, 'index.json'), { manifests: [{ digest, mediaType: TYPES.index }] });
      for (const each of [digest, ...images]) t.ok(files.has(fileOf(each)));
    },
  },
  {
    number: 75,
    title:
      'a pull that was cut short goes on where it was; wrong bytes leave no file and a code that is not 0',
    async run(t, { registry, ground }) {
      const repository = freshRepository();
      const good = randomBytes(6 * MIB);
      const bad = randomBytes(3 * MIB);
      const { layers } = await putImage(registry, repository, [good, bad]);
      const { archive, left, save } = await saver(t, ground);
      const image = `registry.test/${repository}:v1`;
      registry.script = (request, response) => {
        if (request.method !== 'GET' || request.url?.includes(layers[1] ?? '') !== true) return false;
        const wrong = Buffer.from(bad);
        wrong[MIB] = (wrong[MIB] ?? 0) ^ 1;
        send(response, 200, wrong);
        return true;
      };
      const failed = await save(image);
      t.equal(failed.code, 1, failed.output);
      t.match(failed.output, /DIGEST_MISMATCH|UPSTREAM_BROKEN/);
      t.same(await left(), []);
      registry.script = undefined;
      let again = await save(image);
      // The supernode reads it once more by itself: that read may have been a wrong one too.
      if (again.code !== 0) again = await save(image);
      t.equal(again.code, 0, again.output);
      t.same((await contentsOf(archive)).files.get(fileOf(layers[1] ?? '')), bad);
      t.same(
        sentOf(registry, layers[0] ?? ''),
        { bytes: good.length, again: 0 },
        'the good one was read once',
      );
    },
  },
  {
    number: 75,
    title: 'an image asked for by a digest that it does not have leaves no file',
    async run(t, { registry, ground }) {
      const repository = freshRepository();
      const { digest } = await putImage(registry, repository, [randomBytes(10)]);
      const other = await putImage(registry, repository, [randomBytes(10)], 'v2');
      registry.script = (request, response) => {
        if (request.url?.endsWith(`/manifests/${digest}`) !== true) return false;
        send(response, 200, other.manifest, { 'content-type': TYPES.image });
        return true;
      };
      const { left, save } = await saver(t, ground);
      const { code, output } = await save(`registry.test/${repository}@${digest}`);
      t.equal(code, 1, output);
      t.same(await left(), []);
    },
  },
];
