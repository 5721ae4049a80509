import t from 'tap';
import type { BlobRequest } from '../../lib/core/blob-source.ts';
import { digestOf } from '../../lib/core/digest.ts';
import { imageManifest } from '../helpers/docker-registry.ts';
import { send, startFaultOrigin } from '../helpers/fault-origin.ts';
import { ask, startProxy } from './fixture.ts';

const CONFIG = { digest: digestOf(Buffer.from('config')), size: 6 };
const LAYER = { digest: digestOf(Buffer.from('layer')), size: 5 };
const TYPE = { 'content-type': 'application/vnd.oci.image.manifest.v1+json' };

t.test('the blobs of a manifest are prepared for who was given it, under the same right', async (t) => {
  const manifest = JSON.stringify(imageManifest(CONFIG, [LAYER]));
  const origin = await startFaultOrigin((request, response) => {
    if (request.headers.authorization === 'Bearer alice') send(response, 200, manifest, TYPE);
    else send(response, 403, '{"errors":[{"code":"DENIED"}]}');
  });
  let paused = true;
  const prepared: (readonly BlobRequest[])[] = [];
  const proxy = await startProxy([{ name: 'reg', url: origin.url }], {
    defaultUpstream: 'reg',
    isPaused: () => paused,
    blobs: {
      open: () => {
        throw new Error('nobody asked for a blob');
      },
      prepare: (requests) => void prepared.push(requests),
    },
  });
  t.teardown(async () => {
    await proxy.close();
    await origin.close();
  });
  const path = '/v2/a/b/manifests/v1';
  const alice = { headers: { authorization: 'Bearer alice' } };
  t.equal((await ask(proxy.port, path)).status, 403);
  t.equal((await ask(proxy.port, path, { ...alice, method: 'HEAD' })).status, 200);
  t.equal((await ask(proxy.port, path, alice)).status, 200);
  t.same(prepared, [], 'not for who may not read it, nor for who did not ask for it, nor while paused');
  paused = false;
  t.equal((await ask(proxy.port, path, alice)).status, 200);
  const right = { upstream: 'reg', repository: 'a/b', authorization: 'Bearer alice' };
  t.same(prepared, [
    [
      { ...CONFIG, origin: right },
      { ...LAYER, origin: right },
    ],
  ]);
});
