import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { run } from '../../bench/fixtures/child.ts';
import { proxyUrl } from '../../bench/fixtures/cluster.ts';
import { skipReason } from '../helpers/clients/client.ts';
import { layerBytes, PRIVATE, pushPrivate, startPrivateStage } from '../helpers/private-stage.ts';
import { NAMESPACE } from '../helpers/stage.ts';

const MIB = 1024 * 1024;
const skip = skipReason({ programs: ['docker-registry', 'openssl'] });
const DFGET = join(import.meta.dirname, '..', '..', 'bin', 'dfget');

const dfget = (socket: string | undefined, ...words: readonly string[]) =>
  run(DFGET, [...words, '--socket', socket ?? '']);

t.test('a private image on the own account of each node: the registry sends it once', { skip }, async (t) => {
  const stage = await startPrivateStage({ trust: 'caller', registryRate: 100 * MIB });
  t.teardown(() => stage[Symbol.asyncDispose]());
  const sockets = stage.cluster.daemons.map(({ ready }) => ready.socket);

  const pulled = await pushPrivate(stage, { tag: 'pulled', totalBytes: 6 * MIB });
  for (const socket of sockets) {
    const { code, output } = await dfget(socket, 'pull', `${NAMESPACE}/${PRIVATE}:pulled`);
    t.equal(code, 0, output);
  }
  const size = pulled.layers.reduce((sum, layer) => sum + layer.size, 0);
  t.equal(layerBytes(stage, pulled), size, 'dfget pull on each of them');
  const { stdout } = await dfget(sockets[1], 'explain', `${NAMESPACE}/${PRIVATE}:pulled`);
  t.notMatch(stdout, 'registry read by this node', 'the second one had it from the swarm');

  const preheated = await pushPrivate(stage, { tag: 'preheated', totalBytes: 6 * MIB });
  const name = `${NAMESPACE}/${PRIVATE}:preheated`;
  const askedBefore = stage.relay.seen.length;
  const { code, output } = await dfget(sockets[0], 'preheat', name, '--nodes', 'all');
  t.equal(code, 0, output);
  t.equal(layerBytes(stage, preheated), size, 'dfget preheat to all of them');
  const questions = stage.relay.seen.slice(askedBefore).filter(({ method }) => method === 'HEAD');
  const aboutBlobs = questions.filter(({ url }) => url.includes('/blobs/'));
  t.same(aboutBlobs, [], 'each node asks for the right to the manifest, which is that to all blobs');

  for (const daemon of stage.cluster.daemons) {
    for (const { config, layers, manifest } of [pulled, preheated]) {
      const paths = [config, ...layers].map(({ digest }) => `blobs/${digest}`);
      for (const path of [...paths, `manifests/${manifest.digest}`]) {
        const answer = await fetch(`${proxyUrl(daemon)}/v2/${PRIVATE}/${path}?ns=${NAMESPACE}`);
        await answer.body?.cancel();
        t.equal(answer.status, 401, `nobody reads it with the account of the node: ${path.slice(0, 20)}`);
      }
    }
  }

  const logs = await Promise.all(stage.cluster.members.map(({ logFile }) => readFile(logFile, 'utf8')));
  const said = logs.join('\n');
  t.match(said, '"level":"debug"');
  for (const secret of ['node-secret', ...stage.tokens.issued]) t.notOk(said.includes(secret), 'in no log');

  const accounts = new Set(stage.tokens.seen.map(({ account }) => account));
  t.same([...accounts], ['node'], 'all tokens are of the account of the cluster');
});

t.test(
  'a public image of a registry that wants a token of anybody: it is sent once too',
  { skip },
  async (t) => {
    const stage = await startPrivateStage({
      ...{ trust: 'caller', registryRate: 100 * MIB },
      everybodyPulls: true,
    });
    t.teardown(() => stage[Symbol.asyncDispose]());
    const image = await pushPrivate(stage, { tag: 'public', totalBytes: 6 * MIB });
    for (const { ready } of stage.cluster.daemons) {
      const { code, output } = await dfget(ready.socket, 'pull', `${NAMESPACE}/${PRIVATE}:public`);
      t.equal(code, 0, output);
    }
    t.equal(
      layerBytes(stage, image),
      image.layers.reduce((sum, layer) => sum + layer.size, 0),
    );
  },
);
