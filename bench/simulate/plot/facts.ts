import { imageBytes, type Scenario } from '../scenario.ts';

export interface Fact {
  readonly name: string;
  readonly value: string;
}

const UNITS: readonly (readonly [string, number])[] = [
  ['GiB', 1024 ** 3],
  ['GB', 1e9],
  ['MiB', 1024 ** 2],
  ['MB', 1e6],
  ['KiB', 1024],
  ['kB', 1e3],
  ['B', 1],
];

/** Of a unit so many are too many: the next one is used, rounded. */
const MANY = 10_000;

/** The way a person would have typed it: `3 GiB`, `300 MB`, `1.5 GiB`; rounded when there is none. */
export function sizeText(bytes: number): string {
  const exact = UNITS.find(
    ([, unit]) => bytes >= unit && bytes < MANY * unit && Number.isInteger((bytes / unit) * 10),
  );
  if (exact !== undefined) return `${grouped(bytes / exact[1])} ${exact[0]}`;
  const [name, unit] = UNITS.find(([unitName, unit]) => unitName.length === 3 && bytes >= unit) ?? ['B', 1];
  return `${(bytes / unit).toFixed(1)} ${name}`;
}

export function grouped(value: number): string {
  return value.toLocaleString('en-US', { maximumFractionDigits: 2 });
}

/** What the scenario is, in a line. */
export function headline(scenario: Scenario): string {
  const { nodes, blobs, joinOverMs } = scenario;
  const image = `${sizeText(imageBytes(scenario))}${blobs.length === 1 ? '' : ` in ${blobs.length} layers`}`;
  const when = joinOverMs === 0 ? 'at the same moment' : `over ${seconds(joinOverMs)}`;
  return `${grouped(nodes)} ${nodes === 1 ? 'node pulls' : 'nodes pull'} ${image}, ${
    joinOverMs === 0 ? `all ${when}` : `starting ${when}`
  }`;
}

/** Everything that the scenario sets. */
export function scenarioFacts(scenario: Scenario): Fact[] {
  const { nodes, nodeRate, seeds, seedRate, registryRate, registryRequestRate, blobs, joinOverMs } = scenario;
  const requests = Number.isFinite(registryRequestRate) ? `, ${grouped(registryRequestRate)} requests/s` : '';
  const sizes = blobs.map(({ bytes }) => sizeText(bytes)).join(', ');
  const pieces = blobs.reduce((sum, blob) => sum + blob.pieces, 0);
  const pieceSizes = [...new Set(blobs.map(({ pieceBytes }) => pieceBytes))].sort((a, b) => a - b);
  return [
    { name: 'nodes', value: `${grouped(nodes)}, ${sizeText(nodeRate)}/s up and down each` },
    { name: 'seeds', value: `${grouped(seeds)}, ${sizeText(seedRate)}/s each` },
    { name: 'image', value: blobs.length === 1 ? sizes : `${sizeText(imageBytes(scenario))} in ${sizes}` },
    { name: 'pieces', value: `${grouped(pieces)} of ${pieceSizes.map(sizeText).join(', ')}` },
    { name: 'registry', value: `${sizeText(registryRate)}/s in all${requests}` },
    { name: 'latency', value: `${grouped(scenario.latencyMs)} ms one way` },
    { name: 'join', value: joinOverMs === 0 ? 'all at once' : `spread over ${seconds(joinOverMs)}` },
    { name: 'zones', value: zonesText(scenario) },
    { name: 'faults', value: faultsText(scenario) },
    { name: 'profile', value: `${scenario.profile.name}, RNG seed ${scenario.rngSeed}` },
  ];
}

function zonesText({ zones, zoneLatencyMs, zoneRate }: Scenario): string {
  if (zones === 1) return '1';
  const rate = Number.isFinite(zoneRate) ? `, ${sizeText(zoneRate)}/s in and out of each` : '';
  return `${zones}, ${grouped(zoneLatencyMs)} ms between them${rate}`;
}

function faultsText({ crash, slow, seedCrash, trackerDown, poison }: Scenario): string {
  const faults = [
    crash && `${percent(crash.share)} of the nodes die at ${seconds(crash.atMs)}`,
    slow && `${percent(slow.share)} of the nodes have ${percent(slow.rate)} of the rate`,
    seedCrash &&
      `${seedCrash.count} of the seeds ${seedCrash.count === 1 ? 'dies' : 'die'} at ${seconds(seedCrash.atMs)}`,
    trackerDown && `no tracker for ${seconds(trackerDown.forMs)} from ${seconds(trackerDown.atMs)} on`,
    poison === undefined || poison === 0 ? undefined : `${percent(poison)} of the nodes send wrong bytes`,
  ].filter((fault) => fault !== undefined);
  return faults.length === 0 ? 'none' : faults.join('; ');
}

function seconds(ms: number): string {
  return `${grouped(ms / 1000)} s`;
}

function percent(share: number): string {
  return `${grouped(share * 100)} %`;
}
