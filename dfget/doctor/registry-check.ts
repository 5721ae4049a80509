import { parseLayoutAddress } from '../../lib/core/layout-address.ts';
import type { RegistryAnswer } from '../local-protocol.ts';
import type { Check, Finding } from './check.ts';
import { clockSkew } from './clock-skew.ts';

/** Whether the daemon reaches the registries, trusts them, and has the time that they have. */
export const checkRegistries: Check = async (patient) => {
  if (patient.status === undefined) return [];
  const answers = await patient.registries();
  return answers.flatMap((answer) => findingsOf(answer, patient.now()));
};

function findingsOf(answer: RegistryAnswer, nowMs: number): Finding[] {
  const { name, url = `https://${name}/v2/` } = answer;
  const check = `registry ${name}`;
  const cure = lookAt(url);
  if ('failed' in answer) {
    const trusted = answer.certificate
      ? {
          says: `its certificate is not accepted (${answer.failed}): start the daemon with the CA that signed it`,
          cure: 'NODE_EXTRA_CA_CERTS=/path/of/ca.pem dfget daemon',
        }
      : { says: `it does not answer the daemon: ${answer.failed}`, cure };
    return [{ check, state: 'problem', ...trusted }];
  }
  const skew = clockSkew(name, answer.date, nowMs);
  // 401 is how a registry that wants a login says that it is one.
  if (answer.status < 300 || answer.status === 401) {
    return [{ check, state: 'ok', says: `answers ${answer.status}` }, ...skew];
  }
  if (answer.status === 404) {
    const says =
      "it answers 404 where a registry says 200 or 401: right for a server of files alone; else the upstream's URL is wrong";
    return [{ check, state: 'warning', says, cure }, ...skew];
  }
  const says = `it answers ${answer.status} where a registry says 200 or 401: the upstream's URL may be wrong`;
  return [{ check, state: 'problem', says, cure }, ...skew];
}

/** The command that shows what is at the address. */
function lookAt(url: string): string {
  const place = parseLayoutAddress(url);
  if (place === undefined) return `curl -v ${url}`;
  if (place.kind === 'folder') return `ls -la '${place.folder.replaceAll("'", "'\\''")}'`;
  const { bucket, endpoint, prefix } = place.bucket;
  return `aws s3 ls ${endpoint === undefined ? '' : `--endpoint-url ${endpoint} `}s3://${bucket}/${prefix}`;
}
