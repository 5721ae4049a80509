import { authorizationCases } from './authorization-cases.ts';
import { runScripted } from './scripted-suite.ts';

await runScripted('who may read what', authorizationCases);
