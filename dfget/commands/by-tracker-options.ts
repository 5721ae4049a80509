import { Option } from 'commander';
import { defaultDataDir } from '../../lib/config/common.ts';

/** `--tracker` of commands that can do without a daemon on this machine. */
export function trackerOption(): Option {
  return new Option(
    '--tracker <url>',
    'ask this tracker, not the daemon of this machine; repeatable',
  ).argParser((url: string, urls: readonly string[] = []) => [...urls, url]);
}

/** `--ca-dir` beside it. */
export function caDirOption(): Option {
  return new Option(
    '--ca-dir <folder>',
    "with wss:// trackers: where the cluster's authority is; only who holds it may set anything for all",
  ).default(process.env['DAMSELFLY_CA_DIR'] ?? defaultDataDir('ca'));
}
