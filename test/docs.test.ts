import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { VERSION } from '../lib/core/version.ts';
import { referenceDocs } from '../scripts/reference-docs.ts';

const root = join(import.meta.dirname, '..');

for (const [name, text] of Object.entries(await referenceDocs())) {
  t.equal(
    readFileSync(join(root, 'docs', name), 'utf8'),
    text,
    `docs/${name} says what the code says (npm run docs)`,
  );
}

const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
t.equal(VERSION, version, 'the code and package.json have one version');
