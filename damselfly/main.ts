import { enableCompileCache } from 'node:module';

// Compiled once a machine, not at every start: imported only after the cache is on.
enableCompileCache();
const { damselflyCli } = await import('./cli.ts');
await damselflyCli().parseAsync();
