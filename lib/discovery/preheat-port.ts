import type { PreheatMessage } from '../wire/preheat-messages.ts';

/** The control connection to one tracker, as far as preheating goes. */
export interface PreheatLink {
  /** The tracker's URL. */
  readonly id: string;
  readonly connected: boolean;
  /** Dropped while the tracker is not connected. */
  send(message: PreheatMessage): void;
}

/** What a process does with the messages about preheating that its trackers send. */
export interface PreheatPort {
  /** All trackers, before any of them is connected. */
  trackers(links: readonly PreheatLink[]): void;
  /** The tracker has greeted us: it may know nothing of us. */
  welcomed(link: PreheatLink): void;
  heard(link: PreheatLink, message: PreheatMessage): void;
  lost(link: PreheatLink): void;
}
