import { enableCompileCache } from 'node:module';

// Compiled once a machine, not at every start: imported only after the cache is on.
enableCompileCache();
const { dfgetCli } = await import('./cli.ts');
await (await dfgetCli(process.argv[2])).parseAsync();
