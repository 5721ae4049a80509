import t from 'tap';
import type { Outcome } from '../../bench/simulate/outcome.ts';
import { timeAxis } from '../../bench/simulate/plot/axis.ts';
import { completionSteps } from '../../bench/simulate/plot/curve.ts';
import { sizeText } from '../../bench/simulate/plot/facts.ts';
import { type PlottedRun, plotSvg } from '../../bench/simulate/plot.ts';
import { PROFILES } from '../../bench/simulate/profile.ts';
import { report } from '../../bench/simulate/report.ts';
import { type Scenario, simulatedBlob } from '../../bench/simulate/scenario.ts';

const MIB = 1024 * 1024;
const SCENARIO: Scenario = {
  profile: PROFILES.reference,
  rngSeed: 1,
  nodes: 2000,
  nodeRate: 300 * MIB,
  seeds: 3,
  seedRate: 1000 * MIB,
  registryRate: 3000 * MIB,
  registryRequestRate: Number.POSITIVE_INFINITY,
  blobs: [simulatedBlob(3072 * MIB)],
  latencyMs: 0.2,
  zones: 1,
  zoneLatencyMs: 0.2,
  zoneRate: Number.POSITIVE_INFINITY,
  joinOverMs: 0,
};

/** A made-up run: node `n` takes `seconds(n)`. */
function madeUp(
  name: string,
  seconds: (node: number) => number,
  {
    scenario = SCENARIO,
    counts = () => true,
  }: { scenario?: Scenario; counts?: (node: number) => boolean } = {},
): PlottedRun {
  const { nodes } = scenario;
  const outcome: Outcome = {
    joinedAt: new Float64Array(nodes),
    seconds: Float64Array.from({ length: nodes }, (_, node) => seconds(node)),
    firstByteSeconds: new Float64Array(nodes),
    counted: Uint8Array.from({ length: nodes }, (_, node) => (counts(node) ? 1 : 0)),
    originBytes: 3072 * MIB,
    originRequests: nodes,
    crossZoneBytes: 0,
    uploadMaxBytes: 3072 * MIB,
    piecesRejected: 0,
    bans: 0,
  };
  return {
    name,
    scenario,
    outcome,
    report: report(name, scenario, outcome, { seconds: 1, peakRssBytes: 1 }),
  };
}

const own = (): PlottedRun => madeUp('damselfly', (node) => 10.5 + node / 10_000);
const slower = (factor: number): PlottedRun =>
  madeUp(`${factor} times`, (node) => factor * (11 + node / 1000));

/** What is not well-formed about it, in the part of XML that the pictures use; undefined when nothing is. */
function wrongWithXml(xml: string): string | undefined {
  const open: string[] = [];
  const token = /<(\/?)([a-zA-Z][\w:-]*)((?:\s+[\w:-]+="[^"<]*")*)\s*(\/?)>|([^<]+)|</g;
  let roots = 0;
  for (const [whole, closes, name, attributes, empty, text] of xml.matchAll(token)) {
    if (text !== undefined) {
      if (open.length === 0 && text.trim() !== '') return `text outside the root: ${text}`;
      if (text.includes('>')) return `a bare > in ${text}`;
    } else if (name === undefined) {
      return `a < that opens nothing, after ${open.join('/')}`;
    } else if (closes === '/') {
      if (open.pop() !== name) return `${whole} closes another element`;
    } else {
      const names = [...(attributes ?? '').matchAll(/([\w:-]+)="/g)].map((match) => match[1]);
      if (new Set(names).size !== names.length) return `an attribute twice in ${whole}`;
      if (open.length === 0) roots++;
      if (empty === '') open.push(name);
    }
  }
  if (/&(?!(amp|lt|gt|quot);)/.test(xml)) return 'a bare &';
  return open.length === 0 && roots === 1 ? undefined : `left open: ${open.join('/')}, ${roots} roots`;
}

/** Points of every completion curve. */
function pointsOfCurves(svg: string): number[] {
  return [...svg.matchAll(/class="curve" d="([^"]*)"/g)].map(([, path]) => path!.match(/[MHV]/g)!.length);
}

await t.test('the check of XML finds what is wrong', async (t) => {
  t.equal(wrongWithXml('<a b="1"><c/>text &amp; more</a>\n'), undefined);
  for (const bad of [
    '<a>',
    '<a></b>',
    '<a b=1/>',
    '<a b="1" b="2"/>',
    '<a>1 < 2</a>',
    '<a>&</a>',
    '<a/><b/>',
  ]) {
    t.type(wrongWithXml(bad), 'string', bad);
  }
});

await t.test('the picture is well-formed, stands alone and says what it shows', async (t) => {
  const svg = plotSvg([own(), slower(2), slower(30)]);
  t.equal(wrongWithXml(svg), undefined);
  t.match(svg, /^<svg xmlns="http:\/\/www.w3.org\/2000\/svg" viewBox="0 0 960 \d+"/);
  t.match(svg, /role="img" aria-labelledby="title description"/);
  t.match(svg, /<title id="title">2,000 nodes pull 3 GiB, all at the same moment<\/title>/);
  t.match(svg, /<desc id="description">[^<]*damselfly: p50 10\.60 s \(1\.035x\)/);
  t.notMatch(svg, /<script|href|url\(|@import|<style/);
});

await t.test('limit, marks and figures of each run are there', async (t) => {
  const svg = plotSvg([own(), slower(2)]);
  t.match(svg, /<g id="limit"><path d="M[\d.]+ [\d.]+V[\d.]+"[^>]*\/><text[^>]*>physical limit 10\.24 s</);
  t.match(svg, /p50 · 10\.60 s · 1\.035x/);
  t.match(svg, /p99\.9 · 10\.70 s · 1\.045x/);
  t.match(svg, />24\.00 s · 2\.344x</, 'p50 of the second run in the table');
  t.match(svg, />768 of 4 MiB</);
});

await t.test('curves are few points, however many nodes there are', async (t) => {
  const scenario = { ...SCENARIO, nodes: 50_000 };
  const svg = plotSvg([
    madeUp('even', (node) => 10.5 + node / 1000, { scenario }),
    madeUp('all at once', () => 11, { scenario }),
  ]);
  const points = pointsOfCurves(svg);
  t.equal(points.length, 2);
  for (const count of points) t.ok(count >= 2 && count <= 400, `${count} points`);
  t.ok(svg.length < 30_000, `${svg.length} characters`);
});

await t.test('a curve never shows a node as done before it is, and ends with all of them', async (t) => {
  const sorted = Float64Array.from({ length: 12_345 }, (_, i) => i + 1);
  const steps = completionSteps(sorted);
  let last = 0;
  for (const { seconds, share } of steps) {
    t.ok(share * sorted.length <= seconds + 1e-6, `${share} at ${seconds}`);
    t.ok(seconds > last);
    last = seconds;
  }
  t.same(steps.at(-1), { seconds: 12_345, share: 1 });
  t.same(completionSteps(Float64Array.of(1, 2)), [
    { seconds: 1, share: 0.5 },
    { seconds: 2, share: 1 },
  ]);
});

await t.test('nodes that do not count are left out, and the picture says so', async (t) => {
  const scenario = { ...SCENARIO, nodes: 10, crash: { share: 0.2, atMs: 5000 } };
  const svg = plotSvg([
    madeUp('damselfly', (node) => (node < 2 ? Number.NaN : 11), { scenario, counts: (node) => node >= 2 }),
  ]);
  t.equal(wrongWithXml(svg), undefined);
  t.notMatch(svg, /NaN|Infinity|undefined/);
  t.match(svg, /without the 2 that died/);
  t.match(svg, /20 % of the nodes die at 5 s/);
});

await t.test('names are escaped, characters that XML forbids go', async (t) => {
  const svg = plotSvg([madeUp('<b> & "q" \u0000', () => 11)]);
  t.equal(wrongWithXml(svg), undefined);
  t.match(svg, /&lt;b&gt; &amp; &quot;q&quot; \ufffd/);
  t.notMatch(svg, /<b>/);
});

await t.test('the same runs give the same picture', async (t) => {
  t.equal(plotSvg([own(), slower(2)]), plotSvg([own(), slower(2)]));
  t.not(plotSvg([own()]), plotSvg([slower(2)]));
  t.throws(() => plotSvg([]), RangeError);
});

await t.test('a large spread makes the axis logarithmic, and the axis says so', async (t) => {
  t.match(plotSvg([own(), slower(30)]), /logarithmic axis/);
  t.notMatch(plotSvg([own(), slower(5)]), /logarithmic/);
  t.match(plotSvg([own()]), /the axis does not start at 0/);
  t.equal(timeAxis(10, 100).log, false);
  t.equal(timeAxis(10, 100.1).log, true);
});

await t.test('axes have round ticks and hold what they show', async (t) => {
  for (const [smallest, largest] of [
    [10.24, 10.9],
    [10, 10],
    [0.05, 0.084],
    [3, 25],
    [10, 2600],
    [0.01, 90_000],
    [0, 5],
  ] as const) {
    const axis = timeAxis(smallest, largest);
    const { ticks, from, to } = axis;
    const told = `${smallest} to ${largest}: ${ticks.map(({ label }) => label).join(' ')}`;
    t.ok(ticks.length >= 2 && ticks.length <= 16, told);
    t.equal(new Set(ticks.map(({ label }) => label)).size, ticks.length, told);
    for (const { value, label } of ticks) {
      t.ok(Math.abs(Number(label.replaceAll(',', '')) - value) <= value * 1e-9, told);
    }
    t.ok(axis.at(largest) > axis.at(smallest) || largest === smallest, told);
    t.ok(axis.at(smallest) >= 0 && axis.at(largest) <= 1, told);
    t.equal(axis.at(from), 0, told);
    t.ok(Math.abs(axis.at(to) - 1) < 1e-9, told);
  }
});

await t.test('sizes are written as a person would', async (t) => {
  t.equal(sizeText(3 * 1024 ** 3), '3 GiB');
  t.equal(sizeText(3e9), '3 GB');
  t.equal(sizeText(300 * MIB), '300 MiB');
  t.equal(sizeText(1.5 * 1024 ** 3), '1.5 GiB');
  t.equal(sizeText(2048), '2 KiB');
  t.equal(sizeText(123_456_789), '117.7 MiB');
  t.equal(sizeText(7), '7 B');
});
