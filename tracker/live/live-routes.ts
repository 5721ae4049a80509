import type { IncomingMessage, ServerResponse } from 'node:http';
import { TLSSocket } from 'node:tls';
import { describeError } from '../../lib/core/errors.ts';
import type { Logger } from '../../lib/observe/log.ts';
import { type Clock, every } from '../../lib/runtime/clock.ts';
import { mayWatch, sameToken, TOKEN_COOKIE } from './may-watch.ts';
import { loadScript, PAGE, SCRIPTS, STYLE } from './page-files.ts';
import type { WatchCluster } from './watch-cluster.ts';

/** Pages that watch at once: each costs what the changes of the whole cluster cost. */
const MAX_VIEWERS = 32;
/** A page that does not read is cut off; it comes back by itself and gets the whole picture. */
const MAX_UNREAD_BYTES = 8 * 1024 * 1024;
/** Something is said so often, so that dead connections are found. */
const ALIVE_EVERY_MS = 15_000;
const RETRY_MS = 2000;

/** Nothing from elsewhere, and in nobody's frame. */
const HEADERS = {
  'cache-control': 'no-store',
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
} as const;

export interface LiveDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly cluster: Pick<WatchCluster, 'watch' | 'close'>;
  /** Who is not on this machine has to show it; without one nobody else may watch. */
  readonly token?: string | undefined;
}

export interface LiveRoutes {
  /** @returns false for paths that are not the page's */
  readonly answers: (request: IncomingMessage, response: ServerResponse) => boolean;
  /** Ends every page's stream. */
  close(): void;
}

/** The live page at `/live`, its files, and its stream of changes at `/live/events`. */
export function createLiveRoutes({ clock, cluster, log, token }: LiveDeps): LiveRoutes {
  const streams = new Set<ServerResponse>();
  const stopAlive = every(clock, ALIVE_EVERY_MS, () => {
    for (const stream of streams) stream.write(': alive\n\n');
  });

  const stream = (response: ServerResponse): void => {
    if (streams.size >= MAX_VIEWERS) {
      end(response, 503, 'text/plain', `${MAX_VIEWERS} pages watch already\n`);
      return;
    }
    response.writeHead(200, { ...HEADERS, 'content-type': 'text/event-stream' });
    response.write(`retry: ${RETRY_MS}\n\n`);
    streams.add(response);
    /** Bytes of the first message, which shows everything: a large cluster's alone may be more than the limit. */
    let whole = 0;
    const stop = cluster.watch({
      show: (json) => {
        whole ||= Buffer.byteLength(json);
        if (response.writableLength > whole + MAX_UNREAD_BYTES) response.destroy();
        else response.write(`data: ${json}\n\n`);
      },
    });
    response.once('close', () => {
      streams.delete(response);
      stop();
    });
    response.on('error', (error) => log.debug({ problem: describeError(error) }, 'a page is gone'));
  };

  const script = (name: string, response: ServerResponse): void => {
    loadScript(name).then(
      (text) => end(response, 200, 'text/javascript; charset=utf-8', text),
      (error: unknown) => {
        log.error({ problem: describeError(error) }, 'the live page cannot be read');
        end(response, 500, 'text/plain', 'the page cannot be read\n');
      },
    );
  };

  return {
    answers(request, response) {
      const [path = '', query = ''] = (request.url ?? '').split('?');
      const name = /^\/live\/([a-z-]+)\.(?:js|ts)$/.exec(path)?.[1];
      if (!['/live', '/live/', '/live/style.css', '/live/events'].includes(path) && name === undefined) {
        return false;
      }
      const shown = new URLSearchParams(query).get('token');
      const isHead = request.method === 'HEAD' && path !== '/live/events';
      if (request.method !== 'GET' && !isHead) {
        end(response, 405, 'text/plain', 'only GET\n');
      } else if (shown !== null && token !== undefined && sameToken(shown, token)) {
        // From here on the cookie carries it: it should not stay where addresses are shown and kept.
        const secure = request.socket instanceof TLSSocket ? '; Secure' : '';
        const kept = `${TOKEN_COOKIE}=${encodeURIComponent(token)}; Path=/live; HttpOnly; SameSite=Strict${secure}`;
        response.setHeader('set-cookie', kept);
        response.writeHead(303, { ...HEADERS, location: '/live' }).end();
      } else if (!mayWatch(request, token)) {
        end(response, 403, 'text/plain', FORBIDDEN);
      } else if (path === '/live/') response.writeHead(308, { ...HEADERS, location: '/live' }).end();
      else if (path === '/live') end(response, 200, 'text/html; charset=utf-8', PAGE);
      else if (path === '/live/style.css') end(response, 200, 'text/css; charset=utf-8', STYLE);
      else if (path === '/live/events') stream(response);
      else if (name !== undefined && SCRIPTS.includes(name)) script(name, response);
      else end(response, 404, 'text/plain', 'nothing here\n');
      return true;
    },
    close() {
      stopAlive();
      for (const response of streams) response.end();
      cluster.close();
    },
  };
}

const FORBIDDEN =
  'The live page is for this machine (as localhost or 127.0.0.1), or with the token of --live-token: /live?token=TOKEN\n';

function end(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, { ...HEADERS, 'content-type': type });
  response.end(body);
}
