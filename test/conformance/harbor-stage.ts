import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Test } from 'tap';
import { parsePreheatRegistry } from '../../tracker/preheat/registry-names.ts';
import { freshRepository, putImage } from './case.ts';
import { type Ground, startGround } from './ground.ts';
import { type ScriptedRegistry, startScriptedRegistry } from './scripted-registry.ts';

export const DEADLINE_MS = 20_000;
const POLL_MS = 20;
export const SECRET = 'Bearer registry-token-that-nobody-else-may-see';
const KEYS = `basic harbor:instance-password
bearer 0123456789abcdef0123456789abcdef
header X-Preheat-Key: custom-secret
header Authorization: webhook-secret
`;

/** What Harbor's client sends with every request (Go's net/http). */
const GO = { accept: 'application/json', 'user-agent': 'Go-http-client/1.1' };
const JSON_TYPE = { 'content-type': 'application/json' };

export interface Stage {
  readonly registry: ScriptedRegistry;
  readonly ground: Ground;
}

export async function ask(
  { ground }: Stage,
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<{ readonly status: number; readonly body: Record<string, unknown>; readonly text: string }> {
  const sent = body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) };
  const type = body === undefined ? {} : JSON_TYPE;
  const response = await fetch(`${ground.api}${path}`, {
    ...{ method, headers: { ...GO, ...type, ...headers }, ...sent },
    signal: AbortSignal.timeout(DEADLINE_MS),
  });
  const text = await response.text();
  const isJson = response.headers.get('content-type')?.includes('json') === true;
  return { status: response.status, text, body: isJson ? (JSON.parse(text) as Record<string, unknown>) : {} };
}

/** Polls as Harbor does, only faster. @returns all states that were seen */
export async function poll(look: () => Promise<string>, until: readonly string[]): Promise<string[]> {
  const deadline = AbortSignal.timeout(DEADLINE_MS);
  const seen: string[] = [];
  for (;;) {
    const state = await look();
    if (seen.at(-1) !== state) seen.push(state);
    if (until.includes(state)) return seen;
    deadline.throwIfAborted();
    // The cluster is in this process: whoever looks without a pause keeps it from its work.
    await pause(POLL_MS);
  }
}

/** An image of one layer in a repository of its own. */
export async function newImage({ registry }: Stage, tag = 'v1') {
  const repository = freshRepository();
  const layer = randomBytes(300_000);
  const { digest, layers } = await putImage(registry, repository, [layer], tag);
  const url = `https://registry.test/v2/${repository}/manifests/${tag}`;
  return { repository, tag, digest, layer: layers[0] ?? '', size: layer.length, url };
}

/** A registry, a cluster that may preheat from it, and keys for its API. */
export async function onStage(t: Test): Promise<Stage> {
  const registry = await startScriptedRegistry();
  const folder = mkdtempSync(join(tmpdir(), 'damselfly-harbor-'));
  const apiKeyFile = join(folder, 'keys');
  writeFileSync(apiKeyFile, KEYS);
  const ground = await startGround({
    upstreams: { 'registry.test': registry.url, 'unlisted.test': registry.url },
    defaultUpstream: 'registry.test',
    tracker: { apiKeyFile, preheatRegistry: [parsePreheatRegistry('registry.test=registry:5000')] },
  });
  t.teardown(async () => {
    await ground.close();
    await registry.close();
    rmSync(folder, { recursive: true });
  });
  return { registry, ground };
}
