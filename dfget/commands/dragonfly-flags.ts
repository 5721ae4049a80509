import { type Command, Option } from 'commander';

/** A flag of Dragonfly's dfget that is taken and has no effect, and why. */
export interface NotedFlag {
  /** As commander takes them. */
  readonly flags: string;
  readonly generation: 1 | 2;
  readonly why: string;
}

const NOT_HTTP = 'only http and https are read';
const NO_FOLDERS = 'http has no folders';

/** Flags of Dragonfly's dfget 1 and 2 that mean nothing to us. */
export const NOTED_FLAGS: readonly NotedFlag[] = [
  { flags: '-n, --node <addresses>', generation: 1, why: 'supernodes are found through the tracker' },
  { flags: '--totallimit <rate>', generation: 1, why: 'the node is limited by its daemon: --download-rate' },
  { flags: '--console', generation: 1, why: 'there is no log of this command' },
  { flags: '--verbose', generation: 1, why: 'there is no log of this command' },
  { flags: '--callsystem <name>', generation: 1, why: 'nobody is told who asks' },
  { flags: '--dfdaemon', generation: 1, why: 'who asks makes no difference' },
  { flags: '--alivetime <duration>', generation: 1, why: 'the daemon shares the file, not this command' },
  { flags: '--expiretime <duration>', generation: 1, why: 'the store decides: --store-ttl of the daemon' },
  { flags: '--priority <number>', generation: 2, why: 'what somebody waits for comes first' },
  { flags: '--overwrite', generation: 2, why: 'a file of that name is always replaced' },
  { flags: '--transfer-from-dfdaemon', generation: 2, why: 'the bytes always come over the socket' },
  { flags: '--force-hard-link', generation: 2, why: 'the bytes always come over the socket' },
  { flags: '--piece-length <size>', generation: 2, why: 'pieces follow from the size of the file' },
  { flags: '-l, --log-level <level>', generation: 2, why: 'there is no log of this command' },
  { flags: '-r, --recursive', generation: 2, why: NO_FOLDERS },
  { flags: '-I, --include-files <pattern>', generation: 2, why: NO_FOLDERS },
  { flags: '--max-files <number>', generation: 2, why: NO_FOLDERS },
  { flags: '--max-concurrent-requests <number>', generation: 2, why: NO_FOLDERS },
  { flags: '--storage-region <text>', generation: 2, why: NOT_HTTP },
  { flags: '--storage-endpoint <url>', generation: 2, why: NOT_HTTP },
  { flags: '--storage-access-key-id <text>', generation: 2, why: NOT_HTTP },
  { flags: '--storage-access-key-secret <text>', generation: 2, why: NOT_HTTP },
  { flags: '--storage-security-token <text>', generation: 2, why: NOT_HTTP },
  { flags: '--storage-session-token <text>', generation: 2, why: NOT_HTTP },
  { flags: '--storage-insecure-skip-verify <bool>', generation: 2, why: NOT_HTTP },
  { flags: '--storage-credential-path <path>', generation: 2, why: NOT_HTTP },
  { flags: '--storage-predefined-acl <text>', generation: 2, why: NOT_HTTP },
  { flags: '--hdfs-delegation-token <text>', generation: 2, why: NOT_HTTP },
  { flags: '--hf-revision <text>', generation: 2, why: NOT_HTTP },
  { flags: '--hf-token <text>', generation: 2, why: NOT_HTTP },
  { flags: '--hf-base-url <url>', generation: 2, why: NOT_HTTP },
  { flags: '--ms-revision <text>', generation: 2, why: NOT_HTTP },
  { flags: '--ms-token <text>', generation: 2, why: NOT_HTTP },
  { flags: '--ms-base-url <url>', generation: 2, why: NOT_HTTP },
];

/** Lets the command take them, and say so. They are not in its help: docs/CLI.md has them. */
export function takeNotedFlags(command: Command): void {
  for (const { flags, why } of NOTED_FLAGS) {
    const option = new Option(flags, why).hideHelp();
    command.addOption(option);
    const name = option.long ?? option.flags;
    command.on(`option:${option.name()}`, () => note(name, why));
  }
}

/** Tells its user that a flag has no effect. */
export function note(flag: string, why: string): void {
  process.stderr.write(`${flag} has no effect: ${why}\n`);
}
