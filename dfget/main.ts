import { enableCompileCache } from 'node:module';

// Compiled once a machine, not at every start: imported only after the cache is on.
enableCompileCache();
const { COMMAND_NAMES, dfgetCli } = await import('./cli.ts');
const { withGet } = await import('./with-get.ts');
const words = withGet(process.argv.slice(2), COMMAND_NAMES);
await (await dfgetCli(words[0])).parseAsync(words, { from: 'user' });
