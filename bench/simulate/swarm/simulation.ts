import type { Digest } from '../../../lib/core/digest.ts';
import { DamselflyError } from '../../../lib/core/errors.ts';
import { idealSeconds } from '../limit.ts';
import type { OnProgress, Outcome } from '../outcome.ts';
import { equalShares } from '../physics/flows.ts';
import type { Physics } from '../physics/fluid-links.ts';
import type { Scenario } from '../scenario.ts';
import { zoneOf } from '../scenario.ts';
import { Happens } from './events.ts';
import { FallingBack } from './falling-back.ts';
import { Importing } from './importing.ts';
import { Joining } from './joining.ts';
import { Reading } from './reading.ts';
import { Talk } from './talk.ts';
import { freeSlots, Transfers } from './transfers.ts';
import { type Came, World } from './world.ts';

const TICK_MS = 50;
/** Ends tick in groups, so that not all of them do at the same moment. */
const TICK_GROUPS = 100;
/** A transfer so young is not late, and its core need not hear of its bytes at every tick. */
const FRESH_MS = 150;
/** A seed's process dies and its kernel closes its connections; so long until everybody has drawn the conclusion. */
const SEED_LOST_MS = 300;
/** A run that takes so many times the ideal, and a minute, has come to a halt. */
const HOPELESS_RATIO = 50;
const HOPELESS_MS = 60_000;

/**
 * Runs a scenario through the very classes that daemons, supernodes and trackers run: only the network is made up.
 */
export class Simulation {
  readonly #world: World;
  readonly #joining: Joining;
  readonly #reading: Reading;
  readonly #importing: Importing;
  readonly #fallingBack: FallingBack;
  readonly #transfers: Transfers;
  readonly #talk: Talk;
  /** Nodes that died before they had everything. */
  #lost = 0;
  #lostSeeds: readonly number[] = [];

  /**
   * @param physics another rule than equal shares is only a check of that rule
   * @param onCame is told of each piece that a node has stored
   */
  constructor(scenario: Scenario, physics: Physics = equalShares, onCame?: (came: Came) => void) {
    const world = new World(scenario, physics, onCame);
    const act = (end: number): void => this.#talk.act(end);
    this.#world = world;
    this.#joining = new Joining(world, {
      up: (a, b) => this.#linkUp(a, b),
      shares: (a, b) => this.#share(a, b),
      down: (a, b) => this.#linkDown(a, b),
    });
    this.#reading = new Reading(world, {
      owners: (seed, blob) => this.#joining.owners(seed, blob),
      turns: (seed, blob) => this.#joining.turns(seed, blob),
      holders: (seed, blob, piece) => this.#importing.holders(seed, blob, piece),
      awaited: (seed, blob, piece) => this.#importing.awaited(seed, blob, piece),
      landed: (seed, blob) => this.#importing.landed(seed, blob),
      readByNode: (node) => this.#fallingBack.landed(node),
      act,
    });
    this.#importing = new Importing(world, {
      told: (seed, blob) => this.#joining.toldSeed(seed, blob),
      wanted: (seed, blob) => this.#wanted(seed, blob),
      act,
    });
    this.#fallingBack = new FallingBack(world, {
      readFor: (node, blob, piece, asks) => this.#reading.readFor(node, blob, piece, asks),
      lease: (node, { digest }, stripes, aside) =>
        this.#joining.lease(node, { digest: digest as Digest, stripes, aside }),
      renewLease: (node, token) => this.#joining.renewLease(node, token),
      releaseLease: (node, token, read) => this.#joining.releaseLease(node, token, read),
      introduce: (node, others) => this.#joining.introduce(node, others),
      stalled: (node) => this.#joining.stalled(node),
      owed: (node) => this.#joining.owed(node),
      answeredAt: (node) => this.#joining.answeredAt(node),
    });
    this.#transfers = new Transfers(world, act, (end, link) =>
      this.#distrust(end, world.links.other(end, link)),
    );
    this.#talk = new Talk(world, {
      ask: (end, link, blob, piece, request) => this.#transfers.ask(end, link, blob, piece, request),
      cancel: (end, request) => this.#transfers.cancel(end, request),
      uploadEnded: (upload) => this.#transfers.uploadEnded(upload),
      complete: (node, blob) => this.#joining.complete(node, blob),
    });
  }

  /** @throws INTERNAL when the swarm comes to a halt */
  run(onProgress: OnProgress): Outcome {
    const { scenario, wheel, tally, population } = this.#world;
    const { crash, joinOverMs, nodes, seedCrash, siteCut } = scenario;
    const giveUpMs =
      idealSeconds(scenario) * 1000 * HOPELESS_RATIO + HOPELESS_MS + joinOverMs + (siteCut?.atMs ?? 0);
    this.#joining.begin();
    for (let group = 0; group < TICK_GROUPS; group++) {
      wheel.add((group * TICK_MS) / TICK_GROUPS, Happens.tick, group, 0, 0, 0);
    }
    if (crash !== undefined) wheel.add(crash.atMs, Happens.crash, 0, 0, 0, 0);
    if (seedCrash !== undefined) wheel.add(seedCrash.atMs, Happens.seedCrash, seedCrash.count, 0, 0, 0);
    if (siteCut !== undefined) wheel.add(siteCut.atMs, Happens.siteCut, siteCut.zone, 0, 0, 0);
    while (tally.done + this.#lost < nodes) {
      if (!wheel.next() || wheel.now > giveUpMs) {
        const facts = { done: tally.done, lost: this.#lost, nodes, atMs: wheel.now };
        throw new DamselflyError('INTERNAL', 'the simulated swarm came to a halt', facts);
      }
      if (wheel.kind === Happens.tick && wheel.a === 0) {
        onProgress(wheel.now / 1000, tally.pieces, tally.share);
      }
      this.#happen();
    }
    return tally.outcome(population);
  }

  #happen(): void {
    const { kind, a, b, c, d } = this.#world.wheel;
    const transfers = this.#transfers;
    switch (kind) {
      case Happens.flowEnds:
        if (!this.#world.flows.ended(a, b)) break;
        if (this.#reading.isRead(a)) this.#reading.landed(a);
        else if (this.#importing.isImport(a)) this.#importing.ended(a);
        else transfers.sent(a);
        break;
      case Happens.request:
        if (transfers.isCurrent(a, b)) transfers.requested(a);
        break;
      case Happens.arrived:
        if (transfers.isCurrent(a, b)) transfers.arrived(a);
        break;
      case Happens.stored:
        if (transfers.isCurrent(a, b)) transfers.stored(a);
        break;
      case Happens.busy:
        if (transfers.isCurrent(a, b)) transfers.refused(a, c);
        break;
      case Happens.uploadStalls:
        if (transfers.isCurrent(a, b)) transfers.uploadStalls(a);
        break;
      case Happens.slots:
        this.#talk.heardSlots(a, b, c, d === 1);
        break;
      case Happens.offer:
        this.#talk.heardOffer(a, b, c, d);
        break;
      case Happens.decline:
        this.#talk.heardDecline(a, b, c, d);
        break;
      case Happens.haveDue:
        this.#talk.haveDue(a);
        break;
      case Happens.have:
        this.#talk.heardHave(a, b, c, d);
        break;
      case Happens.tick:
        this.#tick(a);
        break;
      default:
        this.#happenSeldom(kind, a, b, c);
    }
  }

  #happenSeldom(kind: number, a: number, b: number, c: number): void {
    switch (kind) {
      case Happens.asked:
        this.#joining.asked(a);
        break;
      case Happens.ready:
        this.#joining.ready(a);
        break;
      case Happens.answered:
        this.#joining.answered(a, b, c);
        break;
      case Happens.announce:
        this.#joining.announced(a, b, c);
        break;
      case Happens.neighbours:
        this.#joining.told(a, b);
        break;
      case Happens.linkUp:
        this.#joining.linkUp(a, b);
        break;
      case Happens.linkDown:
        this.#joining.linkDown(a, b);
        break;
      case Happens.askAgain:
        this.#joining.askAgain(a);
        break;
      case Happens.importerMet:
        this.#importing.met(a, b);
        break;
      case Happens.importable:
        this.#importing.heard(a);
        break;
      case Happens.importStarts:
        this.#importing.starts(a, b);
        break;
      case Happens.crash:
        this.#crash();
        break;
      case Happens.seedCrash:
        this.#crashSeeds(a);
        break;
      case Happens.seedsLost:
        this.#seedsLost();
        break;
      case Happens.siteCut:
        this.#cutSite(a);
        break;
      case Happens.siteLost:
        if (this.#world.cutZone === a) this.#joining.part(a);
        break;
      case Happens.siteHeals:
        this.#world.cutZone = -1;
        this.#joining.unite();
        break;
    }
  }

  /** `a` dialled `b`, and both have said hello. */
  #linkUp(a: number, b: number): void {
    const { links } = this.#world;
    links.connect(a, this.#meet(a, b), b, this.#meet(b, a));
    this.#share(a, b);
    for (const [end, other] of [
      [a, b],
      [b, a],
    ] as const) {
      const link = links.find(end, other);
      const slots = freeSlots(this.#world.core(other), links.back(end, link));
      this.#world.hearSlots(end, link, slots);
      this.#talk.act(end);
    }
  }

  /** @returns the number under which `end` knows `other` */
  #meet(end: number, other: number): number {
    const { scenario, wheel } = this.#world;
    const zone = (zoneOf(scenario, other) - zoneOf(scenario, end) + scenario.zones) % scenario.zones;
    if (this.#world.isSeed(end)) return this.#world.seeds[end - scenario.nodes]!.addPeer(zone);
    const core = this.#world.nodes[end]!;
    const link = core.addPeer(this.#world.isSeed(other) ? 'supernode' : 'node', zone === 0, wheel.now);
    if (this.#world.distrusts(end, other)) core.distrust(link, wheel.now);
    return link;
  }

  /** Both tell which blobs they share and what they hold of them; a seed shares what it owns. */
  #share(a: number, b: number): void {
    const { links, scenario, wheel } = this.#world;
    const seed = this.#world.isSeed(b) ? b : undefined;
    const ab = links.find(a, b);
    const ba = links.back(a, ab);
    scenario.blobs.forEach(({ pieces }, blob) => {
      if (seed !== undefined && !this.#joining.toldSeed(seed, blob).includes(seed)) return;
      const coreA = this.#world.node(a);
      const coreB = this.#world.core(b);
      coreA.peerShares(ab, blob);
      coreB.peerShares(ba, blob);
      for (let piece = 0; piece < pieces; piece++) {
        if (coreA.has(blob, piece)) coreB.peerHas(ba, blob, piece, wheel.now);
        // What a seed holds is told only by offers.
        if (seed === undefined && coreB.has(blob, piece)) {
          this.#talk.act(b);
          coreA.peerHas(ab, blob, piece, wheel.now);
          this.#talk.act(a);
        }
      }
      this.#talk.act(b);
      if (seed !== undefined) this.#wanted(seed, blob);
    });
  }

  /** Somebody shares the blob with a seed that owns it. */
  #wanted(seed: number, blob: number): void {
    this.#reading.wanted(seed, blob);
    this.#importing.wanted(seed, blob);
  }

  /** It takes nothing more from there, and may need others; the other may go on taking from it. */
  #distrust(node: number, liar: number): void {
    this.#world.distrust(node, liar);
    this.#joining.lost(node, liar);
  }

  #linkDown(a: number, b: number): void {
    const { links, wheel } = this.#world;
    const ab = links.find(a, b);
    if (ab < 0) return;
    const ba = links.back(a, ab);
    this.#transfers.cut(a, b);
    for (const [end, link] of [
      [a, ab],
      [b, ba],
    ] as const) {
      if (this.#world.isDead(end)) continue;
      this.#world.core(end).removePeer(link, wheel.now);
      this.#talk.act(end);
    }
    links.disconnect(a, ab);
    if (!this.#world.isDead(a)) this.#joining.lost(a, b);
    if (!this.#world.isSeed(b) && !this.#world.isDead(b)) this.#joining.lost(b, a);
  }

  /** Nodes die without a word; their neighbours find out when they hear nothing. */
  #crash(): void {
    const { population, scenario, tally, wheel, links } = this.#world;
    for (let node = 0; node < scenario.nodes; node++) {
      if (!population.isDoomed(node)) continue;
      if (tally.missing[node]! > 0) this.#lost++;
      this.#die(node);
      for (let link = 0; link < links.count(node); link++) {
        const other = links.other(node, link);
        if (other >= 0) {
          wheel.add(wheel.now + scenario.profile.linkLostMs, Happens.linkDown, other, node, 0, 0);
        }
      }
    }
  }

  /** The owners of the first blob die first: nobody would miss the others. */
  #crashSeeds(count: number): void {
    const { scenario, wheel } = this.#world;
    const owners = this.#joining.owners(scenario.nodes, 0).sort((a, b) => a - b);
    const seeds = Array.from({ length: scenario.seeds }, (_, seed) => scenario.nodes + seed);
    this.#lostSeeds = [...new Set([...owners, ...seeds])].slice(0, count);
    for (const seed of this.#lostSeeds) this.#die(seed);
    wheel.add(wheel.now + SEED_LOST_MS, Happens.seedsLost, 0, 0, 0, 0);
  }

  #die(end: number): void {
    this.#world.die(end);
    // Reads first: the others take whatever else runs to it.
    this.#reading.end(end);
    this.#importing.end(end);
    this.#transfers.end(end);
  }

  #seedsLost(): void {
    const { links } = this.#world;
    for (const seed of this.#lostSeeds) {
      this.#joining.seedLost(seed);
      for (let link = 0; link < links.count(seed); link++) {
        if (links.other(seed, link) >= 0) this.#linkDown(links.other(seed, link), seed);
      }
    }
  }

  /** Nothing passes the border of the zone any more; nodes that were introduced across it find that at once. */
  #cutSite(zone: number): void {
    const { scenario, wheel } = this.#world;
    this.#world.cutZone = zone;
    this.#importing.cut();
    this.#linksCut();
    wheel.add(wheel.now + scenario.profile.linkLostMs, Happens.siteLost, zone, 0, 0, 0);
    const forMs = scenario.siteCut?.forMs ?? Number.POSITIVE_INFINITY;
    if (forMs < Number.POSITIVE_INFINITY) wheel.add(wheel.now + forMs, Happens.siteHeals, 0, 0, 0, 0);
  }

  #linksCut(): void {
    const { links, scenario } = this.#world;
    for (let node = 0; node < scenario.nodes; node++) {
      for (let link = 0; link < links.count(node); link++) {
        const other = links.other(node, link);
        if (other >= 0 && this.#world.isCut(node, other)) this.#linkDown(node, other);
      }
    }
  }

  #tick(group: number): void {
    const { nodes, seeds } = this.#world.scenario;
    const { tally, wheel } = this.#world;
    wheel.add(wheel.now + TICK_MS, Happens.tick, group, 0, 0, 0);
    for (let end = group; end < nodes + seeds; end += TICK_GROUPS) {
      if (this.#world.isDead(end)) continue;
      if (end >= nodes) {
        this.#world.seeds[end - nodes]!.tick(wheel.now);
        this.#talk.act(end);
        this.#reading.tickSeed(end);
        this.#importing.tickSeed(end);
      } else if (tally.missing[end]! > 0) {
        this.#transfers.progress(end, FRESH_MS);
        this.#world.node(end).tick(wheel.now);
        this.#talk.act(end);
        this.#fallingBack.tick(end);
      } else {
        // Ends what it keeps for neighbours that do not come.
        this.#world.nodes[end]!.tick(wheel.now);
        this.#talk.act(end);
      }
    }
  }
}
