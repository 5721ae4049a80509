import { readPlanFile } from '../../../dfget/plan-file.ts';
import { DamselflyError } from '../../../lib/core/errors.ts';
import { MAX_PLAN_IMAGES, MAX_PLAN_STAGES } from '../../../lib/wire/plan-messages.ts';
import { parsePlan } from '../../../tracker/preheat/plans/plan-spec.ts';
import { type FuzzTarget, promise } from '../target.ts';

const PLAN = `name: shop
images:
  - harbor.corp/shop/web:v2
  - harbor.corp/shop/api
platforms: [linux/amd64]
rate: 20MiB/s
timeout: 2h
gate: { failed: 5%, health: 'https://prometheus.corp/ok' }
stages:
  - { name: canary, nodes: 5, pause: 10m }
  - nodes: zone=eu
    batch: 25%
`;

export const target: FuzzTarget = {
  about: 'the file of a staged rollout, as the command and the tracker read it',
  parsers: {
    'dfget/plan-file.ts': ['readPlanFile', 'written'],
    'tracker/preheat/plans/plan-spec.ts': ['parsePlan', 'parseMayFail', 'parseHealth', 'chosen', 'at'],
    'lib/config/yaml.ts': ['lineOf'],
  },
  form: 'text',
  corpus: [
    PLAN,
    '{"images":["a.test/web:1"],"stages":[{"nodes":"all"}],"platforms":"all"}',
    PLAN.replace('zone=eu', 'nobody'),
    PLAN.replace('zone=eu', 'plan=1/2/3'),
    PLAN.replace('10m', '48h'),
    PLAN.replace('10m', 'soon'),
    PLAN.replace('25%', 'x'),
    PLAN.replace('shop/api', 'shop/web:v2'),
    PLAN.replace('shop/api', 'SHOP'),
    PLAN.replace('5%', '0%'),
    PLAN.replace('https:', 'ftp:'),
    PLAN.replace('https://', 'nothing'),
    PLAN.replace('20MiB/s', '1B/s'),
    PLAN.replace('stages:', 'steps:'),
    PLAN.replace('nodes: 5', 'n: 5'),
    PLAN.replace('[linux/amd64]', '[linux'),
    '',
    '- 1',
  ],
  words: [
    '\n',
    '  - ',
    ': ',
    '{',
    '}',
    '[',
    ']',
    '%',
    'nodes: ',
    'batch: ',
    'pause: ',
    '*a',
    '&a ',
    '0',
    '1e9',
  ],
  refuses: ['CONFIG_INVALID', 'REFERENCE_INVALID', 'DIGEST_INVALID'],
  parse: (input) => {
    const file = readPlanFile(input.toString(), 'plan.yaml');
    const { images, stages } = file.plan;
    promise(images.length <= MAX_PLAN_IMAGES && stages.length <= MAX_PLAN_STAGES, 'bounded');
    try {
      const spec = parsePlan(file.plan);
      for (const { pauseMs } of spec.stages) {
        promise(pauseMs >= 0 && Number.isFinite(pauseMs), 'a pause ends');
      }
      promise(spec.health === undefined || /^https?:$/.test(spec.health.protocol), 'only servers are asked');
    } catch (error) {
      const told = file.located(error);
      promise(told instanceof DamselflyError && /^plan\.yaml:\d+: /.test(told.message), 'told with a line');
      throw told;
    }
  },
};
