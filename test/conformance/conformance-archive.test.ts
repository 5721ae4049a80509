import { archiveCases } from './archive-cases.ts';
import { runScripted } from './scripted-suite.ts';

await runScripted('dfget pull -o', archiveCases);
