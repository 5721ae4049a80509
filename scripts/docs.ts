import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { referenceDocs } from './reference-docs.ts';

// `npm run docs`: writes the reference pages under docs/ from the code.
for (const [name, text] of Object.entries(await referenceDocs())) {
  writeFileSync(join(import.meta.dirname, '..', 'docs', name), text);
}
