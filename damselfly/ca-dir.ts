import { Option } from 'commander';
import { defaultDataDir } from '../lib/config/common.ts';

/** `--ca-dir` of commands that work on the cluster's authority. */
export function caDirOption(what = "where the cluster's authority is"): Option {
  return new Option('--ca-dir <folder>', what).default(
    process.env['DAMSELFLY_CA_DIR'] ?? defaultDataDir('ca'),
  );
}
