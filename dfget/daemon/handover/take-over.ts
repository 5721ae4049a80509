import { request } from 'node:http';
import type { Socket } from 'node:net';
import { DamselflyError } from '../../../lib/core/errors.ts';
import { VERSION } from '../../../lib/core/version.ts';
import type { Logger } from '../../../lib/observe/log.ts';
import type { Clock } from '../../../lib/runtime/clock.ts';
import { Conversation, HANDOVER_PATH, HANDOVER_PROTOCOL, handoverFailed } from './conversation.ts';

/** To end uploads, sync what is stored, and close it. */
const RELEASE_MS = 60_000;
const CONNECT_MS = 5_000;

/** The work of a daemon before this one, which is ours now. */
export interface Takeover {
  /** Tells the other daemon that it may end. @throws UPGRADE_FAILED when it has taken its work back */
  done(): void;
}

/**
 * Asks the daemon behind the socket for its work.
 * @returns when it has left store and ports to us; undefined when there is none
 * @throws UPGRADE_FAILED when it does not hand over
 */
export async function takeOver(
  { clock, log }: { readonly clock: Clock; readonly log: Logger },
  socketPath: string,
): Promise<Takeover | undefined> {
  const conversation = await connect(clock, socketPath);
  if (conversation === undefined) return undefined;
  conversation.say({ type: 'take', pid: process.pid, version: VERSION });
  const answer = await conversation.hear(RELEASE_MS);
  if (answer?.type === 'refused') throw handoverFailed(answer.message);
  if (answer === undefined && !conversation.ended) {
    conversation.end();
    throw handoverFailed(`the daemon behind ${socketPath} does not let go of its store`);
  }
  // When it died, its work is there for the taking as well.
  if (answer === undefined) log.warn('the daemon before this one ended in the middle of the handover');
  return {
    done() {
      const objection = conversation.heard();
      if (objection?.type === 'refused') throw handoverFailed(objection.message);
      conversation.say({ type: 'serving' });
      conversation.end();
    },
  };
}

function connect(clock: Clock, socketPath: string): Promise<Conversation | undefined> {
  return new Promise((resolve, reject) => {
    const asked = request({
      socketPath,
      path: HANDOVER_PATH,
      headers: { connection: 'Upgrade', upgrade: HANDOVER_PROTOCOL },
    });
    const cancel = clock.after(CONNECT_MS, () => asked.destroy(new Error('no answer')));
    asked.once('upgrade', (_response, socket: Socket, head) => {
      cancel();
      resolve(new Conversation(socket, head, clock));
    });
    asked.once('response', (response) => {
      cancel();
      response.resume();
      const why = `status ${response.statusCode ?? 0}`;
      reject(handoverFailed(`the daemon behind ${socketPath} cannot hand over (${why}): stop it first`));
    });
    asked.once('error', (error: NodeJS.ErrnoException) => {
      cancel();
      if (error.code === 'ENOENT' || error.code === 'ECONNREFUSED') resolve(undefined);
      else {
        const message = `the daemon behind ${socketPath} cannot be asked: ${error.message}`;
        reject(new DamselflyError('UPGRADE_FAILED', message, {}, { cause: error }));
      }
    });
    asked.end();
  });
}
