import { enableCompileCache } from 'node:module';

// Compiled once a machine, not at every start: imported only after the cache is on. In plain JavaScript, because for a
// file before that Node loads its compiler, which then stays resident with 10 MB.
enableCompileCache();
const { damselflyCli } = await import('./cli.ts');
await damselflyCli().parseAsync();
