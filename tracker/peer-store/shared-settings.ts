import { type ClusterSettings, isNewer } from '../../lib/core/cluster-settings.ts';
import { decodeControl, encodeControl, settingsOf } from '../../lib/wire/control-codec.ts';
import type { PeerStoreHost } from './peer-store.ts';
import type { RedisConnection } from './redis-connection.ts';

/** The settings of the cluster, here and in Redis: the newer ones take the place of the others. */
export class SharedSettings {
  readonly #key: string;
  #own: ClusterSettings | undefined;

  constructor(key: string) {
    this.#key = key;
  }

  /** A member has told these. */
  tell(settings: ClusterSettings): void {
    this.#own = settings;
  }

  /** @param kept what Redis has @throws as the connection does */
  async agree(kept: string | null, redis: RedisConnection, host: PeerStoreHost): Promise<void> {
    const read = decoded(kept);
    // What is not obeyed is as good as not there: ours take its place.
    const stored = read !== undefined && host.obeys(read) ? read : undefined;
    const own = this.#own;
    if (stored !== undefined && isNewer(stored, own)) {
      this.#own = stored;
      host.toldSettings(stored);
    } else if (own !== undefined && isNewer(own, stored)) {
      await redis.send([['set', this.#key, encodeControl({ type: 'settings', ...own })]]);
    }
  }
}

/** @returns undefined when nobody has set any, or what is there is none of ours */
function decoded(text: string | null): ClusterSettings | undefined {
  try {
    const message = text === null ? undefined : decodeControl(text);
    return message?.type === 'settings' ? settingsOf(message) : undefined;
  } catch {
    return undefined;
  }
}
