import { attackCases } from './attack-cases.ts';
import { runScripted } from './scripted-suite.ts';

await runScripted('those who mean no good', attackCases);
