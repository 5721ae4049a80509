import { writeFileSync } from 'node:fs';
import { kustomizeFiles } from './kustomize.ts';

for (const [path, text] of kustomizeFiles()) writeFileSync(path, text);
