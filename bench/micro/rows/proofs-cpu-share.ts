import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { proofStatement } from '../../../lib/core/proof.ts';
import { checkCapability, digestListHash, issueCapability } from '../../../lib/security/capability.ts';
import { Signatures } from '../../../lib/security/signatures.ts';
import { createAuthority, steadyCredentials } from '../../fixtures/certificates.ts';
import { tempFolder } from '../../fixtures/temp-folder.ts';
import { type Figure, inPairs, median, type Row, type RowContext } from '../row.ts';
import { measured, PEER_ID, type Source } from '../transfer/job.ts';
import { type Part, startPart } from '../transfer/part.ts';
import { GB, prepare, transferOf } from './piece-cpu.ts';

/** What identity may add to the CPU of the data path. */
const TARGET = 0.03;
const FINGERPRINT = 'f'.repeat(64);

export const proofsCpuShare: Row = {
  name: 'proofs-cpu-share',
  about:
    'CPU to sign and verify the proof of each piece of 1 GiB and one capability, to that of moving, verifying and storing it over mutual TLS on both sides',
  measure,
};

async function measure(context: RowContext): Promise<readonly Figure[]> {
  await using cleanup = new AsyncDisposableStack();
  const folder = cleanup.use(await tempFolder('transfer')).path;
  const tls = await (await createAuthority()).issue(PEER_ID);
  const part = (role: string): Part => cleanup.use(startPart(role, context.signal));
  const [sender, receiver] = [part('product-sender'), part('product-receiver')];
  const source = await prepare(sender, folder);
  const port = await sender.ask<number>('listen', { source, tls });
  await mkdir(join(folder, 'ours'));
  await receiver.ask('connect', { source, tls, port, folder: join(folder, 'ours') });
  const transfer = transferOf(sender, receiver);
  const signatures = new Signatures(steadyCredentials(tls));
  const pairs = await inPairs(
    context,
    async () => (await measured(async () => vouch(signatures, source))).cpuSeconds / GB,
    async () => (await transfer.run()).both,
  );
  const runs = pairs.map(({ ours, baseline }) => ours / baseline);
  return [
    {
      ...{ row: 'proofs-cpu-share', value: median(runs), unit: 'x', target: TARGET, better: 'lower', runs },
      cpuSecondsPerGB: {
        ours: median(pairs.map(({ ours }) => ours)),
        baseline: median(pairs.map(({ baseline }) => baseline)),
      },
      note: `${source.info.pieces} pieces, each signed once and verified once; a supernode's signatures serve all nodes`,
    },
  ];
}

function vouch(signatures: Signatures, { hashes, info }: Source): void {
  for (const [index, hash] of hashes.entries()) {
    const statement = proofStatement(info, {
      index,
      hash: Uint8Array.from(hash),
      generation: '0'.repeat(16),
    });
    if (!signatures.verify(statement, signatures.sign(statement))) throw new Error('not verified');
  }
  const digests = [info.digest];
  const capability = { list: digestListHash(digests), holder: FINGERPRINT, sinceMs: 0, untilMs: 60_000 };
  const text = issueCapability(signatures, capability);
  const checked = checkCapability(signatures, { text, holder: FINGERPRINT, digests }, 0);
  if (typeof checked === 'string') throw new Error(checked);
}
