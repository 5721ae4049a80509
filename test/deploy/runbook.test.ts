import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { parse } from 'yaml';

const ROOT = join(import.meta.dirname, '..', '..');
const PAGE = 'docs/OPERATIONS.md';

interface Rule {
  readonly alert: string;
  readonly annotations: { readonly runbook_url?: string };
}

t.test(
  'each alert has its entry in the runbook, its URL points there, and no entry is left over',
  async (t) => {
    const text = readFileSync(join(ROOT, 'deploy', 'prometheus', 'alerts.yaml'), 'utf8');
    const { groups } = parse(text) as { groups: { rules: Rule[] }[] };
    const alerts = groups.flatMap(({ rules }) => rules);
    const page = readFileSync(join(ROOT, PAGE), 'utf8');
    const runbook = page.slice(page.indexOf('\n## Runbook\n'));
    const entries = new Map(
      [...runbook.matchAll(/^### (\w+)\n\n(.+)/gm)].map(([, name = '', first = '']) => [name, first]),
    );
    for (const { alert, annotations } of alerts) {
      t.equal(annotations.runbook_url, `${PAGE}#${alert.toLowerCase()}`, alert);
      t.ok((entries.get(alert) ?? '').length > 20, `${alert} has an entry that says something`);
    }
    t.same([...entries.keys()].sort(), alerts.map(({ alert }) => alert).sort());
  },
);

t.test('links from the runbook to other entries lead somewhere', async (t) => {
  const page = readFileSync(join(ROOT, PAGE), 'utf8');
  const headings = [...page.matchAll(/^#+ (.+)$/gm)].map(([, title = '']) =>
    title
      .toLowerCase()
      .replace(/[^\w -]/g, '')
      .replaceAll(' ', '-'),
  );
  for (const [, anchor = ''] of page.matchAll(/\]\(#([^)]+)\)/g)) t.ok(headings.includes(anchor), anchor);
});
