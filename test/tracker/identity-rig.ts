import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { WebSocket } from 'ws';
import { steadyCredentials } from '../../bench/fixtures/certificates.ts';
import type { PeerInfo } from '../../lib/core/node.ts';
import type { Logger } from '../../lib/observe/log.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { createRng } from '../../lib/runtime/rng.ts';
import type { ClusterAuthority } from '../../lib/security/cluster-authority.ts';
import type { Credentials } from '../../lib/security/credentials.ts';
import type { MemberRole } from '../../lib/security/identity.ts';
import { createJoinToken } from '../../lib/security/join-token.ts';
import type { TlsKeys } from '../../lib/security/system/mutual-tls.ts';
import { openCredentials } from '../../lib/security/system/open-credentials.ts';
import { encodeControl } from '../../lib/wire/control-codec.ts';
import { createTracker } from '../../tracker/tracker.ts';
import { testAuthority, testMember } from '../security/cluster.ts';
import { anyPort, systemClock } from './control-rig.ts';

/** A real tracker with an identity, and what a process needs to become a member of its cluster. */
export async function startSecureTracker(
  t: Test,
  authority?: ClusterAuthority,
  {
    log = silentLog(),
    wallClockMs = Date.now,
  }: { readonly log?: Logger; readonly wallClockMs?: () => number } = {},
) {
  const own = authority ?? (await testAuthority());
  const { tls } = await testMember(own, 'tracker');
  const credentials = steadyCredentials(tls);
  const deps = { log, clock: systemClock, rng: createRng(5), authority: own, credentials, wallClockMs };
  const tracker = await createTracker(deps, {
    listen: anyPort,
    httpListen: anyPort,
    adminListen: anyPort,
    processMetrics: false,
  });
  const folder = mkdtempSync(join(tmpdir(), 'damselfly-identity-'));
  t.teardown(async () => {
    await tracker.close();
    credentials.close();
    rmSync(folder, { recursive: true });
  });
  const enroll = `https://127.0.0.1:${tracker.httpAddress.port}`;
  const control = `wss://127.0.0.1:${tracker.controlAddress.port}`;

  const token = (role: MemberRole = 'node', expiresAtMs = Date.now() + 60_000): string =>
    createJoinToken(own, { role, expiresAtMs });

  /** Opens what a process is, as its command does. */
  const open = async (options: {
    readonly joinToken?: string;
    readonly role?: MemberRole;
    readonly name?: string;
    readonly zone?: string;
    readonly wallClockMs?: () => number;
    readonly log?: Logger;
  }): Promise<Credentials> => {
    const {
      joinToken,
      log = silentLog(),
      name = 'node',
      role = 'node',
      wallClockMs = Date.now,
      zone = '',
    } = options;
    const opened = await openCredentials(
      { log, clock: systemClock, wallClockMs },
      { insecure: false, enroll: [enroll], tracker: [control], zone, joinToken },
      { folder: join(folder, name), role },
    );
    if (opened === undefined) throw new Error('not insecure');
    t.teardown(() => opened.close());
    return opened;
  };

  /** A value of the tracker's metrics. */
  const metric = async (name: string): Promise<string | undefined> => {
    const response = await fetch(`http://${String(tracker.ready['admin'])}/metrics`);
    return (await response.text())
      .split('\n')
      .find((line) => line.startsWith(name))
      ?.split(' ')[1];
  };
  return { authority: own, credentials, tracker, folder, enroll, control, token, open, metric };
}

const DEADLINE_MS = 10_000;

/** How a control connection with these keys ends: its close code, or why it did not come about. */
export async function helloOf(
  t: Test,
  url: string,
  keys: Partial<TlsKeys>,
  peer: PeerInfo,
): Promise<number | string> {
  const socket = new WebSocket(`${url}/control`, {
    ...keys,
    checkServerIdentity: (() => undefined) as () => never,
  });
  t.teardown(() => socket.terminate());
  return await new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('nothing happened')), DEADLINE_MS);
    const settle = (how: number | string): void => {
      clearTimeout(timer);
      resolve(how);
    };
    socket.on('open', () =>
      socket.send(encodeControl({ type: 'hello', protocol: 1, peer, clusterTimeMs: 0 })),
    );
    socket.on('message', () => settle('welcome'));
    socket.on('close', (code) => settle(code));
    socket.on('error', () => settle('refused'));
  });
}
