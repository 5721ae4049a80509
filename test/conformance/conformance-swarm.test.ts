import { runScripted } from './scripted-suite.ts';
import { swarmCases } from './swarm-cases.ts';

await runScripted('reads of the registry', swarmCases);
