import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { parseRange } from '../../lib/core/range.ts';

/** A file as its server has it. */
export interface ServedFile {
  readonly bytes: Buffer;
  readonly etag?: string | undefined;
  readonly lastModified?: string;
  /** Authorization values that may read it; absent: everybody may. */
  readonly readers?: readonly string[];
  /** False: the server knows no ranges. */
  readonly ranges?: boolean;
  /** False: the answer has no Content-Length. */
  readonly sized?: boolean;
  /** The connection ends after so many bytes of the next answer that has more. */
  cutAfter?: number | undefined;
}

export interface FileServer {
  readonly url: string;
  readonly host: string;
  /** By path, without the query. */
  readonly files: Map<string, ServedFile>;
  readonly seen: { readonly url: string; readonly headers: IncomingHttpHeaders }[];
  /** Bytes of a file that were sent so far. */
  sent(path: string): number;
  /** Answers instead, if it returns true. */
  script: ((request: IncomingMessage, response: ServerResponse) => boolean) | undefined;
  close(): Promise<void>;
}

/** Serves files over plain HTTP as web servers do, and counts. */
export async function startFileServer(): Promise<FileServer> {
  const sent = new Map<string, number>();
  const answer = (request: IncomingMessage, response: ServerResponse): void => {
    const path = (request.url ?? '').replace(/\?.*$/, '');
    const file = server.files.get(path);
    if (file === undefined) {
      response.writeHead(404, { 'content-length': '0' }).end();
      return;
    }
    if (file.readers !== undefined && !file.readers.includes(request.headers.authorization ?? '')) {
      const status = request.headers.authorization === undefined ? 401 : 403;
      response.writeHead(status, { 'content-length': '0' }).end();
      return;
    }
    const { bytes, etag, lastModified, ranges = true, sized = true } = file;
    const told = {
      ...(etag === undefined ? {} : { etag }),
      ...(lastModified === undefined ? {} : { 'last-modified': lastModified }),
    };
    const wanted = parseRange(ranges ? request.headers.range : undefined, bytes.length);
    if (wanted.kind === 'unsatisfiable') {
      response.writeHead(416, { ...told, 'content-range': `bytes */${bytes.length}`, 'content-length': '0' });
      response.end();
      return;
    }
    const { start, end } = wanted.kind === 'part' ? wanted.range : { start: 0, end: bytes.length };
    const range =
      wanted.kind === 'part' ? { 'content-range': `bytes ${start}-${end - 1}/${bytes.length}` } : {};
    const length = sized ? { 'content-length': String(end - start) } : {};
    response.writeHead(wanted.kind === 'part' ? 206 : 200, { ...told, ...range, ...length });
    const { cutAfter } = file;
    const cut = cutAfter !== undefined && end - start > cutAfter;
    const body = bytes.subarray(start, cut ? start + cutAfter : end);
    sent.set(path, (sent.get(path) ?? 0) + body.length);
    if (!cut) response.end(body);
    else {
      file.cutAfter = undefined;
      response.write(body, () => response.destroy());
    }
  };
  const http = createServer((request, response) => {
    server.seen.push({ url: request.url ?? '', headers: request.headers });
    if (server.script?.(request, response) !== true) answer(request, response);
  });
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  const host = `127.0.0.1:${(http.address() as AddressInfo).port}`;
  const server: FileServer = {
    ...{ host, url: `http://${host}`, files: new Map(), seen: [], script: undefined },
    sent: (path) => sent.get(path) ?? 0,
    async close() {
      http.closeAllConnections();
      await new Promise((resolve) => http.close(resolve));
    },
  };
  return server;
}
