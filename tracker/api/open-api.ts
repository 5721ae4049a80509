import type { IncomingMessage, ServerResponse } from 'node:http';
import type { KeyValue } from '../../lib/store/key-value/key-value.ts';
import { createMemoryKeyValue } from '../../lib/store/key-value/memory-key-value.ts';
import { PreheatPlans } from '../preheat/plans/preheat-plans.ts';
import { PreheatJobs } from '../preheat/preheat-jobs.ts';
import { createRegistryNames, type PreheatRegistry } from '../preheat/registry-names.ts';
import { type ApiServerDeps, createApiServer } from './api-server.ts';
import { type FollowedKeys, followApiKeys } from './follow-api-keys.ts';

export interface OpenApiDeps extends Omit<ApiServerDeps, 'jobs' | 'plans' | 'names' | 'keys'> {
  /** Milliseconds since the epoch. */
  readonly wallClockMs: () => number;
  /** Keeps preheat jobs across restarts; closed with the API. @default in memory */
  readonly records?: KeyValue | undefined;
}

export interface ApiOptions {
  /** Registries whose images may be preheated. @default all that members read from */
  readonly preheatRegistry?: readonly PreheatRegistry[];
  /** Whom images are brought to when a job does not say. @default supernodes */
  readonly preheatNodes?: string;
  /** Origins whose URLs the gate of a plan may ask. @default none */
  readonly preheatHealth?: readonly string[];
  /** Keys for the API. @default members and this machine alone may use it */
  readonly apiKeyFile?: string | undefined;
}

/** The tracker's preheat jobs, and the API by which people, Harbor and registries ask for them. */
export interface TrackerApi {
  readonly jobs: PreheatJobs;
  readonly plans: PreheatPlans;
  /** @returns false for paths of others */
  answer(request: IncomingMessage, response: ServerResponse): boolean;
  close(): Promise<void>;
}

/** @throws CONFIG_INVALID when the file with the keys is not there, or wrong */
export async function openApi(deps: OpenApiDeps, options: ApiOptions): Promise<TrackerApi> {
  const { records = createMemoryKeyValue() } = deps;
  let followed: FollowedKeys | undefined;
  try {
    const keys = await followApiKeys(deps, options.apiKeyFile);
    followed = keys;
    const names = createRegistryNames(options.preheatRegistry ?? []);
    const jobs = await PreheatJobs.open(
      { ...deps, records },
      { defaultNodes: options.preheatNodes ?? 'supernodes', allows: (registry) => names.allows(registry) },
    );
    const plans = await PreheatPlans.open(
      { ...deps, records, jobs },
      { health: options.preheatHealth ?? [] },
    );
    const server = createApiServer({ ...deps, jobs, plans, names, keys });
    return {
      jobs,
      plans,
      answer: (request, response) => server.answer(request, response),
      async close() {
        keys.close();
        await server.close();
        await plans.close();
        await jobs.close();
        await records.close();
      },
    };
  } catch (error) {
    followed?.close();
    await records.close();
    throw error;
  }
}
