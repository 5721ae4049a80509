import { damselflyCli } from './cli.ts';

await damselflyCli().parseAsync();
