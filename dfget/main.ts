import { dfgetCli } from './cli.ts';

await dfgetCli().parseAsync();
