import { DamselflyError } from '../../lib/core/errors.ts';
import type { ConfigView, PlannedFile, SetupClient, WantedRegistry } from '../setup/client.ts';
import { SETUP_CLIENTS } from '../setup/clients.ts';
import { servedByDaemon, wantedRegistries } from '../setup/wanted.ts';
import type { Check, Finding, Patient } from './check.ts';

/** What tells that a client is on the machine. */
const PROGRAMS: Readonly<Record<string, string>> = {
  containerd: 'containerd',
  docker: 'dockerd',
  podman: 'podman',
  crio: 'crio',
  k3s: 'k3s',
  buildkit: 'buildkitd',
};
/** The first containerd that reads hosts.toml. */
const HOSTS_TOML_SINCE = [1, 5] as const;

/** Whether the clients on this machine are told of the mirror, completely and in a way that they read. */
export const checkClients: Check = async (patient) => {
  const { status } = patient;
  if (status === undefined || status.upstreams.length === 0) return [];
  const wanted = await wantedRegistries({}, async () => servedByDaemon(status));
  return SETUP_CLIENTS.flatMap((client) => {
    const version = patient.version(PROGRAMS[client.name] ?? client.name);
    if (version === undefined) return [];
    return [...planned(patient, client, wanted), ...tooOld(client.name, version)];
  });
};

function planned(patient: Patient, client: SetupClient, wanted: readonly WantedRegistry[]): Finding[] {
  const check = `client ${client.name}`;
  const cure = `dfget setup ${client.name}`;
  const served = client.name === 'docker' ? wanted.filter(({ name }) => name === 'docker.io') : wanted;
  if (served.length === 0) return [];
  const view: ConfigView = { read: patient.readText, list: patient.list };
  try {
    const { files } = client.plan(view, served);
    const lacking = files.filter(({ path, text }) => patient.readText(path) !== text);
    if (lacking.length === 0) return [{ check, state: 'ok', says: 'asks the mirror' }];
    const begun = files.some(({ path }) =>
      served.some(({ mirror }) => patient.readText(path)?.includes(mirror)),
    );
    if (begun) return [{ check, state: 'problem', says: lacking.map(lackOf).join('; '), cure }];
    return [{ check, state: 'warning', says: 'does not ask the mirror: its pulls go to the registry', cure }];
  } catch (error) {
    if (!(error instanceof DamselflyError)) throw error;
    return [{ check, state: 'warning', says: error.message, cure: `${cure} --dry-run` }];
  }
}

function lackOf({ lack, path }: PlannedFile): string {
  return `${path}: ${lack}`;
}

function tooOld(name: string, version: string): Finding[] {
  const match = name === 'containerd' ? /\bv?(\d+)\.(\d+)\.\d+/.exec(version) : null;
  if (match === null) return [];
  const [major, minor] = [Number(match[1]), Number(match[2])];
  if (major > HOSTS_TOML_SINCE[0] || (major === HOSTS_TOML_SINCE[0] && minor >= HOSTS_TOML_SINCE[1])) {
    return [];
  }
  const says = `containerd ${major}.${minor} ignores hosts.toml, which 1.5 and newer read`;
  const cure = 'apt-get install --only-upgrade containerd';
  return [{ check: 'client containerd', state: 'problem', says, cure }];
}
