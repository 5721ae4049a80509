import { createRequire } from 'node:module';
import type { Agent as AgentClass, buildConnector, Dispatcher } from 'undici';

/**
 * The parts of undici that a process needs from its start. The whole package brings a browser's fetch, caches and mocks
 * along, which cost 10 MiB of memory.
 */
const require = createRequire(import.meta.url);

export type Agent = AgentClass;
export const Agent = require('undici/lib/dispatcher/agent.js') as typeof AgentClass;

export type Connector = buildConnector.connector;
export type ConnectorOptions = buildConnector.BuildOptions;
export const createConnector = require('undici/lib/core/connect.js') as (
  options: ConnectorOptions,
) => Connector;

type RequestOptions = Omit<Dispatcher.RequestOptions, 'origin' | 'path'> & {
  readonly dispatcher: AgentClass;
};

const api = require('undici/lib/api/api-request.js') as (
  this: AgentClass,
  options: Dispatcher.RequestOptions,
) => Promise<Dispatcher.ResponseData>;

/** As undici's `request`. */
export async function request(
  { origin, pathname, search }: URL,
  { dispatcher, ...options }: RequestOptions,
): Promise<Dispatcher.ResponseData> {
  return await api.call(dispatcher, { ...options, origin, path: `${pathname}${search}` });
}
