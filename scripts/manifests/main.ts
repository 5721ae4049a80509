import { writeFileSync } from 'node:fs';
import { kustomizeFiles } from './kustomize.ts';
import { VALUES_SCHEMA, valuesSchema } from './values-schema.ts';

for (const [path, text] of kustomizeFiles()) writeFileSync(path, text);
writeFileSync(VALUES_SCHEMA, valuesSchema());
