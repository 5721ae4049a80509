import t from 'tap';
import { readPlanFile } from '../../dfget/plan-file.ts';
import { DamselflyError } from '../../lib/core/errors.ts';
import { parsePlan } from '../../tracker/preheat/plans/plan-spec.ts';

const GOOD = `# web and its cache
name: shop
images:
  - harbor.corp/shop/web:v2
  - harbor.corp/shop/api:v2
platforms: all
rate: 20MiB/s
gate:
  failed: 5%
  health: https://prometheus.corp/ok
stages:
  - name: canary
    nodes: 5
    pause: 10m
  - nodes: zone=eu
    batch: 25%
`;

/** As the command and the tracker do it together. */
function check(text: string): string {
  try {
    const file = readPlanFile(text, 'plan.yaml');
    try {
      parsePlan(file.plan);
    } catch (error) {
      throw file.located(error);
    }
    return 'good';
  } catch (error) {
    if (error instanceof DamselflyError) return `${error.code} ${error.message}`;
    throw error;
  }
}

t.test('a plan as people write it', async (t) => {
  const spec = parsePlan(readPlanFile(GOOD, 'plan.yaml').plan);
  t.match(spec, {
    name: 'shop',
    text: { platforms: ['all'], stages: [{ nodes: '5' }, {}] },
    mayFail: { share: 0.05 },
    stages: [
      { name: 'canary', nodes: { kind: 'count', count: 5 }, pauseMs: 600_000 },
      { name: 'zone=eu', nodes: { kind: 'zone', zone: 'eu' }, batch: { share: 0.25 }, pauseMs: 0 },
    ],
  });
  t.equal(check('{"images":["a.test/web:1"],"stages":[{"nodes":"all"}]}'), 'good', 'JSON too');
  t.equal(parsePlan({ images: ['a.test/x/web:1'], stages: [{ nodes: 'all' }] }).name, 'web:1');
});

t.test('what is wrong is told with its line', async (t) => {
  const wrong = (from: string, to: string): string => check(GOOD.replace(from, to));
  for (const [from, to, told] of [
    ['zone=eu', 'somewhere', /^CONFIG_INVALID plan.yaml:15: stages\[1\].nodes: .*somewhere/],
    ['25%', 'many', /^CONFIG_INVALID plan.yaml:16: stages\[1\].batch: /],
    ['pause: 10m', 'pause: later', /^CONFIG_INVALID plan.yaml:14: stages\[0\].pause: /],
    ['pause: 10m', 'pause: 48h', /^CONFIG_INVALID plan.yaml:14: .*24h/],
    ['pause: 10m', 'paws: 10m', /^CONFIG_INVALID plan.yaml:14: stages\[0\].paws: there is no such field/],
    ['nodes: zone=eu', 'name: eu', /^CONFIG_INVALID plan.yaml:15: stages\[1\].nodes: /],
    ['failed: 5%', 'failed: 500%', /^CONFIG_INVALID plan.yaml:9: gate.failed: /],
    ['https://', 'ftp://', /^CONFIG_INVALID plan.yaml:10: gate.health: /],
    ['https://', 'https://me:secret@', /^CONFIG_INVALID plan.yaml:10: (?!.*secret)/],
    ['20MiB/s', '1B/s', /^CONFIG_INVALID plan.yaml:7: rate: /],
    ['shop/api:v2', 'SHOP', /^REFERENCE_INVALID plan.yaml:5: images\[1\]: /],
    ['shop/api:v2', 'shop/web:v2', /^CONFIG_INVALID plan.yaml:5: images\[1\]: .*twice/],
    ['stages:', 'steps:', /^CONFIG_INVALID plan.yaml:2: stages: [^]*plan.yaml:12: steps: there is no/],
    ['platforms: all', 'platforms: [all', /^CONFIG_INVALID plan.yaml:\d+:\d+: no YAML/],
    ['zone=eu', 'plan=1/1/1', /^CONFIG_INVALID plan.yaml:15: /],
  ] as const) {
    t.match(wrong(from, to), told, to);
  }
  t.match(check(''), /^CONFIG_INVALID plan.yaml:1: /);
  t.match(check('['.repeat(5000)), /^CONFIG_INVALID plan.yaml/);
  t.match(check(`images: [${'a.test/x,'.repeat(21)}]`), /^CONFIG_INVALID/);
});
