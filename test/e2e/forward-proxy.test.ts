import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { run } from '../../bench/fixtures/child.ts';
import { countersSince } from '../../bench/fixtures/registry-counters.ts';
import { tempFolder } from '../../bench/fixtures/temp-folder.ts';
import { skipReason } from '../helpers/clients/client.ts';
import { dockerd } from '../helpers/clients/dockerd.ts';
import { createStage, NAMESPACE } from '../helpers/stage.ts';

const MIB = 1024 * 1024;
const skip = skipReason({ programs: ['docker-registry', 'busybox', 'htpasswd'] }) || skipReason(dockerd);
const noSkopeo = skipReason({ programs: ['skopeo'] });
/** Of the image, for all pulls together: manifests come with each. */
const MAX_RATIO = 1.05;

t.test(
  'dockerd pulls a private image of any registry by HTTPS_PROXY and our CA, from the swarm',
  { skip },
  async (t) => {
    await using folder = await tempFolder('forward');
    const htpasswd = join(folder.path, 'htpasswd');
    const [user, password] = ['ann', 'open sesame'];
    await writeFile(htpasswd, (await run('htpasswd', ['-Bbn', user, password])).stdout);
    const authorization = `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
    await using stage = await createStage('forward-proxy', {
      htpasswd,
      authorization,
      image: { totalBytes: 12 * MIB, layers: 3, busybox: '/bin/busybox', compression: 'gzip' },
    });
    const cluster = await stage.startCluster({
      nodes: 2,
      supernodes: 1,
      daemonFlags: ['--forward-proxy', '127.0.0.1:0'],
    });
    const { registry, repository, image } = stage;
    const pull = { namespace: NAMESPACE, registry: registry.address, repository, tag: image.tag };
    const before = await registry.counters();
    for (const [index, daemon] of cluster.daemons.entries()) {
      const { forward } = daemon.ready;
      if (forward === undefined) throw new Error('no forward proxy');
      const into = await stage.makeFolder(`dockerd-${index}`);
      const pulled = await dockerd.pull({
        ...pull,
        ...{ folder: into, forward, credentials: { user, password } },
      });
      t.equal(pulled.manifestDigest, image.manifest.digest, `node ${index}`);
      t.ok(pulled.contentDigests.length > image.layers.length, 'config and all layers are there');
    }
    const ratio = countersSince(before, await registry.counters()).bytes / image.bytes;
    t.ok(ratio >= 1 && ratio <= MAX_RATIO, `the registry sent ${ratio.toFixed(3)}x the image for two nodes`);

    const { forward } = cluster.daemons[0]?.ready ?? {};
    const into = await stage.makeFolder('dockerd-anonymous');
    await t.rejects(
      dockerd.pull({ ...pull, folder: into, ...(forward === undefined ? {} : { forward }) }),
      { message: /no basic auth credentials|unauthorized|authentication required/i },
      'without the password the cached image is refused',
    );

    await t.test(
      'skopeo copies it to another name there: pulled and pushed',
      { skip: noSkopeo },
      async (t) => {
        const source = `docker://${NAMESPACE}/${repository}:${image.tag}`;
        const creds = ['--src-creds', `${user}:${password}`, '--dest-creds', `${user}:${password}`];
        const { code, output } = await run(
          'skopeo',
          ['copy', '--quiet', ...creds, source, `docker://${NAMESPACE}/team/copy:v2`],
          {
            env: {
              HTTPS_PROXY: `http://${forward?.address}`,
              NO_PROXY: '',
              SSL_CERT_FILE: forward?.ca ?? '',
            },
          },
        );
        t.equal(code, 0, output);
        const manifest = await fetch(`${registry.url}/v2/team/copy/manifests/v2`, {
          headers: { authorization, accept: 'application/vnd.oci.image.manifest.v1+json' },
        });
        t.equal(manifest.headers.get('docker-content-digest'), image.manifest.digest);
      },
    );
  },
);
