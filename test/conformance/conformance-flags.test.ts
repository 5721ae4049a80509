import { flagCases } from './flag-cases.ts';
import { runScripted } from './scripted-suite.ts';

await runScripted("flags of Dragonfly's dfget", flagCases);
