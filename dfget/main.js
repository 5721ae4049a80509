import { enableCompileCache } from 'node:module';

// Compiled once a machine, not at every start: imported only after the cache is on. In plain JavaScript, because for a
// file before that Node loads its compiler, which then stays resident with 10 MB.
enableCompileCache();
const { COMMAND_NAMES, dfgetCli } = await import('./cli.ts');
const { withGet } = await import('./with-get.ts');
const words = withGet(process.argv.slice(2), COMMAND_NAMES);
await (await dfgetCli(words[0])).parseAsync(words, { from: 'user' });
