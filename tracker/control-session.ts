import type { ClusterSettings } from '../lib/core/cluster-settings.ts';
import { hasCode } from '../lib/core/errors.ts';
import type { ControlLink } from '../lib/discovery/control-link.ts';
import type { Logger } from '../lib/observe/log.ts';
import type { Clock } from '../lib/runtime/clock.ts';
import type { Credentials } from '../lib/security/credentials.ts';
import { type MemberIdentity, peerIdOf } from '../lib/security/identity.ts';
import { setterOf } from '../lib/security/signed-settings.ts';
import { decodeControl, encodeControl, settingsOf } from '../lib/wire/control-codec.ts';
import {
  type BlobAnnouncement,
  CONTROL_PROTOCOL_VERSION,
  type ControlMessage,
} from '../lib/wire/control-messages.ts';
import { isPreheatMessage } from '../lib/wire/preheat-codec.ts';
import type { AnnounceQueue, Announcer } from './announce-queue.ts';
import { HEARTBEAT_MS, type MemberSession, type Members } from './members.ts';
import type { TrackerMetrics } from './metrics.ts';
import type { PreheatPlans } from './preheat/plans/preheat-plans.ts';
import type { PreheatJobs } from './preheat/preheat-jobs.ts';

/** A member that does not read what it asked for is dropped; it can dial again. */
const MAX_BUFFERED_BYTES = 8 * 1024 * 1024;
/** Blobs in one answer, so that even the longest names stay within one control message. */
const BLOBS_PER_ANSWER = 25;
/** Blobs that nobody else shares which one connection may bring in: bounds what a broken member can make us hold. */
const MAX_NEW_SWARMS = 20_000;
/** Most that fits in the reason of a WebSocket close frame (RFC 6455 section 5.5.1), in bytes. */
const MAX_REASON_CHARS = 120;

/** WebSocket close codes (RFC 6455 section 7.4.1). */
export const CloseCode = { goingAway: 1001, protocolError: 1002, policy: 1008, internal: 1011 } as const;

export interface ControlSessionDeps {
  readonly log: Logger;
  readonly clock: Clock;
  readonly members: Members;
  readonly announcements: AnnounceQueue;
  readonly metrics: TrackerMetrics;
  readonly trackerId: string;
  /** The zone of members that name none, by their addresses. @default none */
  readonly zoneOf?: ((addresses: readonly string[]) => string | undefined) | undefined;
  /** Who the tracker is; without it connections are plain, and members are whoever they say. */
  readonly credentials?: Credentials | undefined;
  /** Milliseconds since the epoch. */
  readonly wallClockMs: () => number;
  /** Jobs that members take part in. @default none */
  readonly preheat?: Pick<PreheatJobs, 'joined' | 'heard'> | undefined;
  /** Staged rollouts of which people on members' machines ask. @default none */
  readonly plans?: Pick<PreheatPlans, 'heard'> | undefined;
}

/** One member's control connection, from its hello to its end. */
export class ControlSession implements MemberSession, Announcer {
  readonly #socket: ControlLink;
  readonly #remoteHost: string;
  readonly #deps: ControlSessionDeps;
  /** Id of the member, once it has said hello. */
  #id: string | undefined;
  /** As its certificate says; undefined on plain connections. */
  readonly #member: MemberIdentity | undefined;
  #newSwarms = 0;

  constructor(socket: ControlLink, remoteHost: string, deps: ControlSessionDeps, member?: MemberIdentity) {
    this.#socket = socket;
    this.#member = member;
    this.#remoteHost = remoteHost;
    this.#deps = deps;
    deps.members.expect(this);
    socket.listen({
      message: (text) => this.#receive(text),
      failed: (problem) => {
        deps.metrics.refused.inc({ reason: 'socket' });
        deps.log.debug({ remoteHost, problem }, 'control connection failed');
      },
      closed: () => {
        deps.announcements.forget(this);
        deps.members.leave(this, this.#id);
      },
    });
  }

  sendText(text: string): void {
    if (!this.#socket.isOpen) return;
    if (this.#socket.bufferedBytes > MAX_BUFFERED_BYTES) {
      this.#deps.metrics.refused.inc({ reason: 'slow' });
      this.#socket.terminate();
      return;
    }
    this.#socket.send(text);
  }

  end(reason: string): void {
    if (this.#id === undefined) this.#refuse('hello', reason);
    else this.#close(CloseCode.policy, reason);
  }

  isNew({ digest, have }: BlobAnnouncement): boolean {
    return have !== 'all' && this.#id !== undefined && !this.#deps.members.shares(this.#id, digest);
  }

  enter(announcement: BlobAnnouncement): boolean {
    const { members } = this.#deps;
    const before = members.swarms;
    const entered = this.#id !== undefined && members.enter(this.#id, announcement);
    this.#newSwarms += members.swarms - before;
    return entered;
  }

  answer(blobs: readonly BlobAnnouncement[]): void {
    const { members } = this.#deps;
    if (this.#id === undefined || !this.#socket.isOpen) return;
    const before = members.swarms;
    const found = members.announce(this.#id, blobs);
    this.#newSwarms += members.swarms - before;
    for (let at = 0; at < found.length; at += BLOBS_PER_ANSWER) {
      this.sendText(encodeControl({ type: 'neighbours', blobs: found.slice(at, at + BLOBS_PER_ANSWER) }));
    }
    if (this.#newSwarms > MAX_NEW_SWARMS) this.#refuse('too-many', 'too many blobs');
  }

  #receive(text: string | undefined): void {
    // Frames that were under way when we began to close.
    if (!this.#socket.isOpen) return;
    try {
      if (text === undefined) {
        this.#refuse('malformed', 'binary message');
        return;
      }
      const message = decodeControl(text);
      this.#deps.metrics.controlMessages.inc({ type: message?.type ?? 'unknown' });
      if (message !== undefined) this.#dispatch(message);
    } catch (error) {
      if (hasCode(error, 'PEER_PROTOCOL')) {
        this.#refuse('malformed', error.message);
        return;
      }
      this.#deps.log.error({ err: error }, 'control message failed');
      this.#close(CloseCode.internal, 'internal error');
    }
  }

  #dispatch(message: ControlMessage): void {
    const { members, announcements } = this.#deps;
    if (this.#id === undefined) {
      if (message.type === 'hello') this.#greet(message);
      else this.#refuse('hello', `${message.type} before hello`);
      return;
    }
    members.seen(this.#id);
    if (isPreheatMessage(message)) {
      const { plans, preheat } = this.#deps;
      const isPlan = message.type === 'plan-ask' || message.type === 'plan-told';
      if ((isPlan ? plans?.heard(this.#id, message) : preheat?.heard(this.#id, message)) === false) {
        this.#refuse('malformed', `unexpected ${message.type}`);
      }
      return;
    }
    switch (message.type) {
      case 'heartbeat':
        this.sendText(encodeControl(message));
        return;
      case 'announce':
        announcements.add(this, message.blobs);
        return;
      case 'withdraw':
        announcements.flush(this);
        members.withdraw(this.#id, message.digests);
        return;
      case 'settings':
        this.#set(settingsOf(message), this.#id);
        return;
      case 'unreached':
        members.dials.unreached(this.#id, message.ids);
        return;
      case 'reached':
        members.dials.reached(this.#id, message.ids);
        return;
      case 'lease':
      case 'renew': {
        const { ask } = message;
        void members.leases
          .answer(this.#id, message)
          .then((answer) => this.sendText(encodeControl({ ...answer, ask })));
        return;
      }
      case 'release':
        members.leases.release(this.#id, message.token, message.read === true);
        return;
      case 'report':
        members.reported(this.#id, message);
        return;
      case 'watch':
      case 'hello':
      case 'welcome':
      case 'neighbours':
      case 'dial':
      case 'epoch':
      case 'leased':
      case 'lease-refused':
      case 'trust':
        this.#refuse(message.type === 'trust' ? 'identity' : 'malformed', `unexpected ${message.type}`);
    }
  }

  /** Members repeat what they were told; it counts when a tracker of the cluster has signed it. */
  #set(settings: ClusterSettings, id: string): void {
    const { credentials, log, members, metrics } = this.#deps;
    const checked = credentials && setterOf(credentials, settings);
    if (checked?.kind !== 'refused') return members.set(settings, id);
    metrics.refused.inc({ reason: 'identity' });
    log.warn(
      { remoteHost: this.#remoteHost, id, reason: checked.reason },
      'settings of one who may not set any',
    );
  }

  #greet(hello: ControlMessage & { type: 'hello' }): void {
    const { credentials, members, trackerId, wallClockMs, zoneOf } = this.#deps;
    const { peer } = hello;
    const member = this.#member;
    if (member !== undefined && (peerIdOf(member) !== peer.id || member.role !== peer.role)) {
      this.#refuse('identity', 'a hello in the name of another');
      return;
    }
    this.#id = peer.id;
    const { settings } = members;
    const host = peer.host === '' ? this.#remoteHost : peer.host;
    const zone = peer.zone === '' ? zoneOf?.([this.#remoteHost]) : undefined;
    const seen = { ...peer, host, ...(zone === undefined ? {} : { zone }) };
    const epoch = members.join(this, seen);
    this.sendText(
      encodeControl({
        type: 'welcome',
        protocol: Math.min(hello.protocol, CONTROL_PROTOCOL_VERSION),
        trackerId,
        clusterTimeMs: wallClockMs(),
        epoch,
        supernodes: members.supernodes,
        heartbeatMs: HEARTBEAT_MS[peer.role],
        ...(zone === undefined ? {} : { zone }),
        ...(settings === undefined ? {} : { settings }),
      }),
    );
    const { rotation, revocations } = credentials?.news ?? {};
    if (rotation !== undefined || revocations !== undefined) {
      this.sendText(encodeControl({ type: 'trust', ...credentials?.news }));
    }
    this.#deps.preheat?.joined(seen, (text) => this.sendText(text));
  }

  #refuse(reason: 'hello' | 'identity' | 'malformed' | 'too-many', text: string): void {
    const { log, metrics } = this.#deps;
    metrics.refused.inc({ reason });
    log.warn({ remoteHost: this.#remoteHost, id: this.#id, problem: text }, 'control connection refused');
    this.#close(reason === 'too-many' ? CloseCode.policy : CloseCode.protocolError, text);
  }

  #close(code: number, reason: string): void {
    this.#socket.close(code, reason.replace(/[^ -~]/g, '?').slice(0, MAX_REASON_CHARS));
  }
}
