import { createServer } from 'node:http';
import t from 'tap';
import { digestOf } from '../../lib/core/digest.ts';
import type { PeerInfo } from '../../lib/core/node.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { every } from '../../lib/runtime/clock.ts';
import { createRng } from '../../lib/runtime/rng.ts';
import type { ReportMessage } from '../../lib/wire/report-messages.ts';
import { listen } from '../../tracker/listen.ts';
import { createLiveRoutes } from '../../tracker/live/live-routes.ts';
import { WatchCluster } from '../../tracker/live/watch-cluster.ts';
import { openBrowser, refreshes, tileIs } from '../helpers/browser.ts';
import { skipReason } from '../helpers/clients/client.ts';
import { anyPort, systemClock } from '../tracker/control-rig.ts';

const NODES = 5000;
const PIECES = 200;
const NO_BYTES = {
  ...{ origin: 0, objectStore: 0, supernode: 0, peer: 0, archive: 0 },
  ...{ toPeers: 0, toClients: 0 },
};

const peer = (n: number): PeerInfo => ({
  id: n.toString(16).padStart(40, '0'),
  role: n < 5 ? 'supernode' : 'node',
  host: `10.${n >> 8}.${n & 255}.1`,
  port: 65_002,
  zone: `zone-${n % 4}`,
});

t.test(
  'a page shows 5,000 nodes that all report at every refresh, and keeps up with the tracker',
  { skip: skipReason({ programs: ['chromium'] }) },
  async (t) => {
    const peers = Array.from({ length: NODES + 5 }, (_, n) => peer(n));
    const rng = createRng(1);
    const held = peers.map(() => 0);
    let told = 0;
    const cluster = new WatchCluster({
      clock: systemClock,
      wallClockMs: Date.now,
      members: {
        all: () => peers,
        sendTo: () => {},
        counts: { members: peers.length, supernodes: 5, swarms: 1 },
      },
    });
    const blob = { digest: digestOf(Buffer.from('layer')), size: PIECES * 1024 * 1024, pieces: PIECES };
    const reportAll = (): void => {
      const fresh = told++ === 0 ? ({ fresh: true, version: '0.1.0' } as const) : {};
      for (const [n, { id }] of peers.entries()) {
        held[n] = Math.min(PIECES, held[n]! + rng.int(20));
        const about = told === 1 ? blob : {};
        const report: ReportMessage = {
          ...{
            type: 'report',
            ...fresh,
            bytes: { ...NO_BYTES, peer: held[n] * 1024 * 1024 },
            gone: [],
            bans: [],
          },
          blobs: [{ handle: 0, held: held[n], readers: 1, ...about }],
          from: Array.from({ length: 8 }, () => [peers[rng.int(peers.length)]!.id, rng.int(1e6)] as const),
        };
        cluster.reported(id, report);
      }
    };
    let refresh = 0;
    const live = createLiveRoutes({ clock: systemClock, log: silentLog(), cluster });
    const server = createServer((request, response) => {
      if (!live.answers(request, response)) response.writeHead(404).end();
    });
    const { port } = await listen(server, anyPort);
    t.teardown(() => {
      live.close();
      server.closeAllConnections();
      server.close();
    });
    const origin = `http://127.0.0.1:${port}`;
    const browser = await openBrowser(origin);
    t.teardown(() => browser[Symbol.asyncDispose]());
    const { page, problems } = browser;
    const unwatch = cluster.watch({
      show: (json) => {
        ({ refresh } = JSON.parse(json) as { refresh: number });
      },
    });
    t.teardown(unwatch);
    reportAll();
    await page.goto(`${origin}/live`);
    await tileIs(page, 'nodes', NODES);
    const stopReports = every(systemClock, 2500, reportAll);
    t.teardown(stopReports);
    const lags: number[] = [];
    for (let looks = 0; looks < 4; looks++) {
      const shown = await refreshes(page, 1);
      lags.push(refresh - shown);
    }
    t.ok(
      lags.every((lag) => lag <= 1),
      `behind the tracker by ${lags.join(', ')} refreshes`,
    );
    t.match(await page.textContent('#picture-text'), `of ${NODES + 5} members have all of it`);
    t.equal(await page.locator('#members tr').count(), 200, 'a table that can be read');
    t.equal(await page.textContent('#members-more'), `and ${NODES + 5 - 200} more`);
    t.equal(await page.locator('#slow tr').count(), 20);
    await browser.picture('live-5000');
    t.same(problems, []);
  },
);
