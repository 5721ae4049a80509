import { setFlagsFromString } from 'node:v8';
import type { Command } from 'commander';
import { processCommand } from '../lib/command/process-command.ts';
import { startAsMember } from '../lib/command/start-as-member.ts';
import { DamselflyError, hasCode } from '../lib/core/errors.ts';
import { loadAuthority } from '../lib/security/system/authority-folder.ts';
import { DEFAULT_ADMIN, trackerConfig } from './config.ts';
import { endingWith, followAuthority, followTrackers } from './follow-authority.ts';
import { openJobRecords } from './preheat/open-job-records.ts';
import { createTracker } from './tracker.ts';

/** `damselfly tracker` */
export function trackerCommand(): Command {
  return processCommand({
    name: 'tracker',
    about: 'Tell nodes about one another: who shares which blob, and who should talk to whom.',
    schema: trackerConfig,
    examples: `  damselfly ca init && damselfly tracker
  damselfly tracker --listen 0.0.0.0:8400 --http-listen 0.0.0.0:8401 --ca-dir /var/lib/damselfly/ca
  damselfly tracker --insecure
`,
    start: async (deps, config) => {
      keepYoungHeapSmall();
      // An operator with certificates of another authority enrols members elsewhere.
      const issues = !config.insecure && config.tlsCert === undefined;
      const authority = issues ? await loadAuthority(config.caDir, deps.wallClockMs) : undefined;
      const who = { ...config, tracker: [], zone: '', zoneCidr: [] };
      const member = { folder: config.dataDir, role: 'tracker', authority } as const;
      try {
        return await startAsMember(deps, who, member, async (known) => {
          const { credentials } = known;
          const adminListen = config.adminListen ?? (credentials === undefined ? undefined : DEFAULT_ADMIN);
          const records = await openJobRecords(deps.log, config.dataDir);
          const tracker = await createTracker({ ...known, authority, records }, { ...config, adminListen });
          const { caDir, enroll } = config;
          if (credentials === undefined) return tracker;
          return authority === undefined
            ? endingWith(tracker, followTrackers(deps, { credentials, enroll }))
            : endingWith(tracker, followAuthority(deps, { authority, caDir, credentials }));
        });
      } catch (error) {
        const first =
          hasCode(error, 'CONFIG_INVALID') && authority === undefined && config.joinToken === undefined;
        throw first && config.tlsCert === undefined && !config.insecure
          ? withFirstStep(error, config.caDir)
          : error;
      }
    },
  });
}

/** The first tracker of a cluster has nobody to join. */
function withFirstStep({ message }: DamselflyError, caDir: string): DamselflyError {
  const how = `the first tracker of a cluster: damselfly ca init --ca-dir ${caDir}`;
  return new DamselflyError('CONFIG_INVALID', `${message}; ${how}`);
}

/**
 * V8 would let the space for new objects grow to 128 MiB while thousands of members connect, and never give it back.
 * From here on it stays as large as it is, some 32 MiB.
 */
function keepYoungHeapSmall(): void {
  setFlagsFromString('--semi-space-growth-factor=1');
}
