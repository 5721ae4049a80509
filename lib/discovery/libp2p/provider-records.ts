import { BaseDatastore } from 'datastore-core/base';
import { Key, type KeyQuery, type Pair, type Query } from 'interface-datastore';

/** Most providers that are kept of one key: a lookup brings no more than twenty. */
const MAX_PER_KEY = 64;
/** Records that are kept in all. */
const MAX_RECORDS = 50_000;
/** `/dht/provider/<key>/<member>` */
const GROUP_PARTS = 3;

/**
 * libp2p's records in memory, found by key without a look at all others, and never more than so many: when there are,
 * the oldest keys go. What is no provider record (addresses of members) is a group of its own.
 */
export class ProviderRecords extends BaseDatastore {
  readonly #maxRecords: number;
  /** Group -> records by key; the group written to last is the last one. */
  readonly #groups = new Map<string, Map<string, Uint8Array>>();
  #records = 0;

  constructor(maxRecords = MAX_RECORDS) {
    super();
    this.#maxRecords = maxRecords;
  }

  /** Records kept now. */
  get records(): number {
    return this.#records;
  }

  override put(key: Key, value: Uint8Array): Key {
    const text = key.toString();
    const name = groupOf(text);
    const group = this.#groups.get(name) ?? new Map<string, Uint8Array>();
    this.#groups.delete(name);
    this.#groups.set(name, group);
    if (group.delete(text)) this.#records--;
    group.set(text, value);
    this.#records++;
    if (group.size > MAX_PER_KEY && isProvider(name)) this.#dropFirst(group);
    while (this.#records > this.#maxRecords) {
      const [oldest] = this.#groups.keys();
      if (oldest === undefined || oldest === name) break;
      this.#records -= this.#groups.get(oldest)?.size ?? 0;
      this.#groups.delete(oldest);
    }
    return key;
  }

  override get(key: Key): Uint8Array {
    const value = this.#groups.get(groupOf(key.toString()))?.get(key.toString());
    // libp2p asks for this name.
    if (value === undefined) throw Object.assign(new Error('no such record'), { name: 'NotFoundError' });
    return value;
  }

  override has(key: Key): boolean {
    return this.#groups.get(groupOf(key.toString()))?.has(key.toString()) === true;
  }

  override delete(key: Key): void {
    const text = key.toString();
    const name = groupOf(text);
    const group = this.#groups.get(name);
    if (group?.delete(text) === true) this.#records--;
    if (group?.size === 0) this.#groups.delete(name);
  }

  override *_all({ prefix = '' }: Query): Generator<Pair> {
    for (const [text, value] of this.#entries(prefix)) yield { key: new Key(text, false), value };
  }

  override *_allKeys({ prefix = '' }: KeyQuery): Generator<Key> {
    for (const [text] of this.#entries(prefix)) yield new Key(text, false);
  }

  #entries(prefix: string): [string, Uint8Array][] {
    const name = groupOf(prefix);
    // A copy: whoever reads may delete what it reads.
    if (name.split('/').length > GROUP_PARTS) return [...(this.#groups.get(name) ?? [])];
    return [...this.#groups.values()].flatMap((group) => [...group]);
  }

  #dropFirst(group: Map<string, Uint8Array>): void {
    const [first] = group.keys();
    if (first !== undefined && group.delete(first)) this.#records--;
  }
}

function groupOf(key: string): string {
  return key
    .split('/')
    .slice(0, GROUP_PARTS + 1)
    .join('/');
}

function isProvider(group: string): boolean {
  return group.split('/')[2] === 'provider';
}
