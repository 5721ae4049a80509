import { registrySaysCases } from './registry-says-cases.ts';
import { runScripted } from './scripted-suite.ts';

await runScripted('answers of registries', registrySaysCases);
