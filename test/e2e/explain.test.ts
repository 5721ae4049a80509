import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { run } from '../../bench/fixtures/child.ts';
import { sizeText } from '../../bench/simulate/plot/facts.ts';
import type { Explanation } from '../../dfget/explain.ts';
import { skipReason } from '../helpers/clients/client.ts';
import { createStage, NAMESPACE } from '../helpers/stage.ts';

const MIB = 1024 * 1024;
const plotTrace = join(import.meta.dirname, '..', '..', 'bench', 'trace', 'main.ts');
const dfget = join(import.meta.dirname, '..', '..', 'bin', 'dfget');

t.test(
  'dfget explain on a pull with one deliberately slow supernode names the supernode',
  { skip: skipReason({ programs: ['docker-registry'] }) },
  async (t) => {
    // One layer of four stripes: all three supernodes read and send parts of it.
    const stage = await createStage('explain', { image: { totalBytes: 52 * MIB, layers: 1 } });
    t.teardown(() => stage[Symbol.asyncDispose]());
    const { daemons, supernodes } = await stage.startCluster({ nodes: 2, supernodes: 3 });
    const slow = supernodes[1]!;
    const changed = await fetch(`http://${slow.ready.admin}/v1/limits`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: '{"uploadRate": "3MB/s"}',
    });
    t.equal(changed.status, 200);
    const { id: slowId } = JSON.parse(
      (await (await fetch(`http://${slow.ready.admin}/v1/trace`)).text()).split('\n')[0] ?? '',
    ) as { id: string };

    const reference = `${NAMESPACE}/${stage.repository}:${stage.image.tag}`;
    const ask = (at: number, ...args: string[]) =>
      run(dfget, [...args, '--socket', daemons[at]!.ready.socket]);
    const unread = await ask(0, 'explain', reference);
    t.equal(unread.code, 1);
    t.match(unread.output, /BLOB_UNKNOWN: .*no client of this node has read any of it/);

    const pulled = await Promise.all(daemons.map((_, at) => ask(at, 'pull', reference)));
    t.same(
      pulled.map(({ code }) => code),
      [0, 0],
      pulled.map(({ output }) => output).join(''),
    );
    for (const at of daemons.keys()) {
      const { stdout } = await ask(at, 'explain', '--json', reference);
      const { blobs, slowest } = JSON.parse(stdout) as Explanation;
      t.equal(slowest?.id, slowId, 'the slow one is named');
      t.equal(slowest?.role, 'supernode');
      t.equal(slowest?.address, slow.ready.peer);
      const layer = blobs.find(({ size = 0 }) => size > MIB);
      const { bytes, tookMs = 0, waitedMs } = layer ?? {};
      t.equal((bytes?.supernode ?? 0) + (bytes?.peer ?? 0) + (bytes?.registry ?? 0), layer?.size);
      const sum = Object.values(waitedMs ?? {}).reduce((all, ms) => all + ms, 0);
      t.ok(Math.abs(sum - tookMs) <= tookMs * 0.01 + 1, `${sum} of ${tookMs} ms are accounted for`);
      const { output } = await ask(at, 'explain', reference);
      t.match(output, `slow     supernode ${slowId.slice(0, 8)} at ${slow.ready.peer}`);
      t.comment(output);
    }

    const { stdout: lines } = await ask(0, 'explain', '--trace', reference);
    const kinds = lines
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { kind: string }).kind);
    t.equal(kinds[0], 'trace');
    const traceFile = join(stage.folder, 'pull.jsonl');
    const picture = join(stage.folder, 'pull.svg');
    await writeFile(traceFile, lines);
    const plotted = await run(process.execPath, [plotTrace, traceFile, '-o', picture]);
    t.equal(plotted.code, 0, plotted.output);
    const total = stage.image.layers.reduce((sum, { size }) => sum + size, stage.image.config.size);
    t.match(await readFile(picture, 'utf8'), `pull.jsonl: ${sizeText(total)} on 1 process; half after`);
    for (const kind of ['link-up', 'pull', 'piece', 'waited', 'blob-complete', 'pull-end']) {
      t.ok(kinds.includes(kind), `the trace has ${kind}`);
    }

    t.equal((await ask(0, 'pull', reference)).code, 0);
    const again = JSON.parse((await ask(0, 'explain', '--json', reference)).stdout) as Explanation;
    t.ok(
      again.blobs.every(({ bytes, size }) => bytes.cache === size),
      'the second pull came from the store',
    );
  },
);
