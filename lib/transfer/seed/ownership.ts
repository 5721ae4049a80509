import { Bitfield } from '../../core/bitfield.ts';
import type { BlobInfo } from '../../core/geometry.ts';
import type { BlobOrigin, PeerInfo } from '../../core/node.ts';
import { splitTurns } from '../../swarm/sites.ts';
import { dealTurns, readerOf } from '../../swarm/stripes.ts';
import type { Neighbour } from '../peers/neighbour.ts';

/** What a supernode knows of one blob and of the others that own it: who reads, who brings what where, who holds what. */
export class Ownership {
  readonly #info: BlobInfo;
  readonly #self: () => Pick<PeerInfo, 'id' | 'zone'>;
  readonly #isLost: (id: string) => boolean;
  /** Turn -> id of the supernode that it comes from: the registry's reader, or the site around ours. */
  #turns: readonly string[] | undefined;
  /** Turn -> id of the supernode that brings it into our site; undefined where there is one site. */
  #gateways: readonly string[] | undefined;
  #sources: readonly PeerInfo[] = [];
  /** Those who said that they cannot read it. */
  readonly #failed = new Set<string>();
  /** The registry sends no parts: the owner of the first turn reads all. */
  #undivided = false;
  /** What other supernodes say they hold. */
  readonly #held = new Map<Neighbour, Bitfield>();
  /** Those who bring it into other sites from us. */
  readonly #importers = new Set<Neighbour>();
  /** Where the blob can be read, as far as those from whom we bring were told. */
  readonly #told = new Map<Neighbour, Set<BlobOrigin>>();
  /** Those that are not linked -> since when, milliseconds. */
  readonly #missedMs = new Map<string, number>();
  readonly #outOfReach = new Set<string>();

  /** @param isLost whether that supernode is gone, and no tracker is there to deal out its turns */
  constructor(info: BlobInfo, self: () => Pick<PeerInfo, 'id' | 'zone'>, isLost: (id: string) => boolean) {
    this.#info = info;
    this.#self = self;
    this.#isLost = isLost;
  }

  /** The tracker's answer. @returns whom we need a link to */
  named(told: readonly PeerInfo[]): readonly PeerInfo[] {
    const { gateways, sources } = splitTurns(told);
    const { id: self } = this.#self();
    // A tracker of another version names nobody.
    this.#turns = sources.length === 0 ? [self] : sources.map(({ id }) => id);
    this.#gateways = gateways?.map(({ id }) => id);
    this.#failed.clear();
    const reads = this.#turns.includes(self);
    // Who reads meets the others who do, as one of them may be in for another; who brings meets those it brings from.
    const needed = sources.filter(
      (_, turn) => reads || gateways === undefined || gateways[turn]?.id === self,
    );
    this.#sources = [...new Set(gateways === undefined ? [] : needed)].filter(({ id }) => id !== self);
    return [...new Set([...needed, ...(gateways ?? [])])].filter(({ id }) => id !== self);
  }

  /** Whether we were told whose turn it is. */
  get isNamed(): boolean {
    return this.#turns !== undefined;
  }

  /** Whether there are several sites. */
  get hasSites(): boolean {
    return this.#gateways !== undefined;
  }

  /** Supernodes of other sites, or of the site around ours, that read or bring what we bring. */
  get sources(): readonly PeerInfo[] {
    return this.#sources;
  }

  isOwner(id: string): boolean {
    return this.#turns?.includes(id) === true || this.#gateways?.includes(id) === true;
  }

  /** Whether all whom we need have said what they hold, were it nothing. */
  get hasHeardAll(): boolean {
    const { id: self } = this.#self();
    const owners = this.#gateways ?? this.#turns ?? [];
    const needed = new Set([...owners, ...this.#sources.map(({ id }) => id)]);
    const heard = new Set([...this.#held.keys()].map(({ peer }) => peer.id));
    return [...needed].every((id) => id === self || heard.has(id));
  }

  /** Whether the piece is ours to read from the registry. */
  mine(piece: number): boolean {
    if (this.#turns === undefined) return true;
    const { id: self } = this.#self();
    const whole = this.#undivided;
    if (this.#gateways !== undefined) {
      const source = whole ? this.#turns[0] : readerOf(this.#turns, this.#info, piece);
      // The registry is nearer than a site that cannot be asked.
      const away = source !== undefined && (this.#isAway(source) || this.#outOfReach.has(source));
      return source === self || (away && this.brings(piece));
    }
    const turns = this.#living(this.#turns);
    return (whole ? turns[0] : readerOf(turns, this.#info, piece)) === self;
  }

  /** Whether we are one of several sites, and the piece is ours to bring into it: from the registry, or from another. */
  brings(piece: number): boolean {
    if (this.#gateways === undefined) return false;
    return readerOf(this.#living(this.#gateways), this.#info, piece) === this.#self().id;
  }

  /**
   * Who is asked for a piece that is ours to bring: one of our site, then whoever it comes from, then any other. What our
   * site has crosses its border no more, were all who hold it busy.
   */
  bringer(piece: number, mayAsk: (from: Neighbour) => boolean): Neighbour | undefined {
    const source = readerOf(this.#turns ?? [], this.#info, piece);
    const { zone } = this.#self();
    let best: Neighbour | undefined;
    let isNear = false;
    for (const [neighbour, pieces] of this.#held) {
      if (!pieces.has(piece)) continue;
      const near = neighbour.peer.zone === zone;
      isNear ||= near;
      if (!mayAsk(neighbour)) continue;
      if (near) return neighbour;
      if (best?.peer.id !== source) best = neighbour;
    }
    return isNear ? undefined : best;
  }

  /** Another supernode that has the piece to copy: of our own site, where what is ours to bring is not copied. */
  holder(piece: number): Neighbour | undefined {
    if (this.brings(piece)) return undefined;
    const { zone } = this.#self();
    for (const [neighbour, pieces] of this.#held) {
      const near = this.#gateways === undefined || neighbour.peer.zone === zone;
      if (near && pieces.has(piece)) return neighbour;
    }
    return undefined;
  }

  /** Other supernodes that hold the piece. */
  holders(piece: number): number {
    let holders = 0;
    for (const pieces of this.#held.values()) if (pieces.has(piece)) holders++;
    return holders;
  }

  /** What it says it holds. */
  heldBy(neighbour: Neighbour): Bitfield {
    const pieces = this.#held.get(neighbour) ?? new Bitfield(this.#info.pieces);
    this.#held.set(neighbour, pieces);
    return pieces;
  }

  /** What it said it held is gone. */
  lost(neighbour: Neighbour): void {
    this.#held.delete(neighbour);
  }

  /** It shares the blob no more, or its link is gone. */
  left(neighbour: Neighbour): void {
    this.#held.delete(neighbour);
    this.#importers.delete(neighbour);
    this.#told.delete(neighbour);
  }

  lacks(neighbour: Neighbour, piece: number): void {
    this.#held.get(neighbour)?.clear(piece);
  }

  /** Nobody believes in what was read any more. */
  forget(): void {
    this.#held.clear();
  }

  failed(id: string): void {
    this.#failed.add(id);
  }

  /** Whatever was in its way is so no more. */
  recovered(id: string): void {
    this.#failed.delete(id);
  }

  /** The registry sends no parts. @returns whether that changes who reads what */
  undivided(): boolean {
    const { id: self } = this.#self();
    const news = !this.#undivided && (this.#turns ?? []).some((id) => id !== self);
    this.#undivided = true;
    return news;
  }

  /** Another site brings the blob from us. */
  importedBy(neighbour: Neighbour): void {
    this.#importers.add(neighbour);
  }

  /** Whether another site that brings from us lacks the piece. */
  awaited(piece: number): boolean {
    const { zone } = this.#self();
    for (const importer of this.#importers) {
      if (importer.peer.zone !== zone && this.#held.get(importer)?.has(piece) !== true) return true;
    }
    return false;
  }

  /** Whether one of those still lacks something. */
  get isWanted(): boolean {
    return [...this.#importers].some((importer) => this.#held.get(importer)?.complete !== true);
  }

  /** Of these ways to read the blob those that it was not told yet; it is, now. */
  news(neighbour: Neighbour, origins: readonly BlobOrigin[]): readonly BlobOrigin[] {
    const told = this.#told.get(neighbour) ?? new Set();
    this.#told.set(neighbour, told);
    const news = origins.filter((origin) => !told.has(origin));
    for (const origin of news) told.add(origin);
    return news;
  }

  /** One from whom we bring has a link or has none. @param patienceMs so long without one: it is cut off from us */
  reach(id: string, linked: boolean, now: number, patienceMs: number): void {
    if (linked) {
      this.#missedMs.delete(id);
      this.#outOfReach.delete(id);
      return;
    }
    const sinceMs = this.#missedMs.get(id) ?? now;
    this.#missedMs.set(id, sinceMs);
    if (now - sinceMs >= patienceMs) this.#outOfReach.add(id);
  }

  #isAway(id: string): boolean {
    return this.#failed.has(id) || this.#isLost(id);
  }

  /** The turns of those that cannot take them go to the others. */
  #living(turns: readonly string[]): readonly string[] {
    const living = turns.map((id) => (this.#isAway(id) ? undefined : id));
    if (!living.includes(undefined)) return turns;
    const others = living.filter((id) => id !== undefined);
    return dealTurns(living, others, others.length);
  }
}
