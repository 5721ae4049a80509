/** A registry of one huge blob that lies on no disk: `--bytes N`. Prints its address and the blob's digest as JSON. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { parseArgs } from 'node:util';
import { contentRange, parseRange } from '../../lib/core/range.ts';
import { createRepeatingBlob } from './repeating-blob.ts';

const { values } = parseArgs({ options: { bytes: { type: 'string', default: '0' } } });
const blob = createRepeatingBlob(Number(values.bytes));

const server = createServer((request, response) => {
  void (async () => {
    if (request.url?.endsWith(`/blobs/${blob.digest}`) !== true) {
      response.writeHead(404).end();
      return;
    }
    const asked = parseRange(request.headers.range, blob.size);
    const { start, end } = asked.kind === 'part' ? asked.range : { start: 0, end: blob.size };
    const part = asked.kind === 'part' ? { 'content-range': contentRange({ start, end }, blob.size) } : {};
    response.writeHead(asked.kind === 'part' ? 206 : 200, { 'content-length': end - start, ...part });
    if (request.method === 'GET') {
      for (let at = start; at < end && !response.destroyed; ) {
        const chunk = blob.chunk(at, end);
        at += chunk.length;
        if (!response.write(chunk)) await Promise.race([once(response, 'drain'), once(response, 'close')]);
      }
    }
    response.end();
  })();
});
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as AddressInfo;
  const ready = { process: 'repeating-registry', address: `127.0.0.1:${port}`, digest: blob.digest };
  process.stdout.write(`${JSON.stringify(ready)}\n`);
});
process.once('SIGTERM', () => process.exit(0));
