import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { digestOf } from '../../../lib/core/digest.ts';
import { blobFile, layoutFiles, type RawManifest } from '../../../lib/oci/archive/image-layout.ts';
import { type FileToPack, packArchive } from '../../../lib/oci/archive/pack.ts';
import { type Manifest, ROOT } from '../manifest.ts';
import type { Target } from '../program-tree.ts';
import { fileOf, folder, type Layer, textFile, treeOf, writeLayer } from './layer.ts';
import { IMAGE_USER, minimalRoot } from './minimal-root.ts';

const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json';
const CONFIG_TYPE = 'application/vnd.oci.image.config.v1+json';
const LAYER_TYPE = 'application/vnd.oci.image.layer.v1.tar+gzip';
const PROGRAM = 'usr/lib/damselfly';

/** Machines as images name them. */
export const IMAGE_ARCHITECTURE = { 'linux-x64': 'amd64', 'linux-arm64': 'arm64' } as const;

/**
 * A container image of a program tree as one archive (an OCI layout that `docker load` takes too), without a daemon and
 * without a base image. Two layers: what seldom changes (C library, Node), and the program.
 */
export async function makeImage(
  tree: string,
  file: string,
  { manifest, target }: { readonly manifest: Manifest; readonly target: Target },
): Promise<void> {
  const work = `${file}.parts`;
  await rm(work, { recursive: true, force: true });
  await mkdir(work);
  try {
    const [base, program] = [join(work, 'base'), join(work, 'program')];
    const layers = [
      await writeLayer(
        [...minimalRoot(target), folder(PROGRAM), fileOf(`${PROGRAM}/node`, join(tree, 'node'), 0o755)],
        base,
      ),
      await writeLayer(
        [
          ...(await treeOf(`${PROGRAM}/lib`, join(tree, 'lib'))),
          ...(await treeOf(`${PROGRAM}/node_modules`, join(tree, 'node_modules'))),
          folder('usr/share/doc/damselfly'),
          fileOf('usr/share/doc/damselfly/copyright', join(ROOT, 'LICENSE')),
          ...['damselfly', 'dfget'].map((name) => textFile(`usr/bin/${name}`, launcher(name), 0o755)),
        ],
        program,
      ),
    ];
    const config = json(imageConfig(layers, manifest, IMAGE_ARCHITECTURE[target]));
    const root = manifestOf(layers, config);
    const reference = { registry: 'localhost', repository: manifest.name, tag: manifest.version };
    const small = layoutFiles({ reference, root, manifests: [root], plain: root });
    const files: FileToPack[] = [
      ...small.map(({ name, text }) => whole(name, Buffer.from(text))),
      whole(blobFile(root.digest), root.bytes),
      whole(blobFile(digestOf(config)), config),
      ...layers.map(({ digest, size }, index) => ({
        ...{ name: blobFile(digest as RawManifest['digest']), size },
        content: createReadStream(index === 0 ? base : program),
      })),
    ];
    await pipeline(packArchive(Readable.from(files)), createWriteStream(file));
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** There is no shell: the kernel starts Node by the first line, which takes one option. */
function launcher(name: string): string {
  return `#!/${PROGRAM}/node --disable-warning=ExperimentalWarning\nimport('/${PROGRAM}/lib/${name}.mjs');\n`;
}

function imageConfig(layers: readonly Layer[], manifest: Manifest, architecture: string): object {
  return {
    architecture,
    os: 'linux',
    config: {
      User: `${IMAGE_USER}:${IMAGE_USER}`,
      Env: [
        ...['PATH=/usr/bin', 'HOME=/var/lib/damselfly', 'DAMSELFLY_SOCKET=/run/damselfly/damselfly.sock'],
        // As the launchers have it: memory for pieces goes back to the system.
        'MALLOC_MMAP_THRESHOLD_=131072',
      ],
      Cmd: ['dfget', '--help'],
      WorkingDir: '/',
      Labels: {
        'org.opencontainers.image.title': manifest.name,
        'org.opencontainers.image.description': manifest.description,
        'org.opencontainers.image.version': manifest.version,
        'org.opencontainers.image.licenses': manifest.license,
      },
    },
    rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) },
    history: [
      { created_by: 'C library and Node', comment: 'scripts/packages/image' },
      { created_by: `${manifest.name} ${manifest.version}`, comment: 'scripts/packages/image' },
    ],
  };
}

function manifestOf(layers: readonly Layer[], config: Uint8Array): RawManifest {
  const bytes = json({
    schemaVersion: 2,
    mediaType: MANIFEST_TYPE,
    config: { mediaType: CONFIG_TYPE, digest: digestOf(config), size: config.length },
    layers: layers.map(({ digest, size }) => ({ mediaType: LAYER_TYPE, digest, size })),
  });
  return { digest: digestOf(bytes), mediaType: MANIFEST_TYPE, bytes };
}

const json = (value: object): Uint8Array => Buffer.from(JSON.stringify(value));
const whole = (name: string, bytes: Uint8Array): FileToPack => ({
  name,
  size: bytes.length,
  content: [bytes],
});
