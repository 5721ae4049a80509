import { describeError } from '../../lib/core/errors.ts';
import { joinAddress } from '../../lib/observe/admin-server.ts';
import type { Check, Finding } from './check.ts';

/** Whether the daemon runs, serves something, and is not paused. */
export const checkDaemon: Check = ({ status }) => {
  if (status === undefined) {
    const says =
      'no daemon answers on the socket: clients go to the registry, or fail where they know nothing else';
    return [{ check: 'daemon', state: 'problem', says, cure: 'dfget daemon' }];
  }
  const findings: Finding[] = [
    { check: 'daemon', state: 'ok', says: `runs as node ${status.id.slice(0, 8)}` },
  ];
  if (status.upstreams.length === 0) {
    const cure = 'dfget daemon --upstream harbor.corp=https://harbor.corp';
    findings.push({ check: 'upstreams', state: 'problem', says: 'the daemon serves no registry', cure });
  }
  for (const name of status.paused) {
    const says = `${name === 'all' ? 'everything' : name} is paused: pulls go straight to the registry`;
    const cure = `dfget resume ${status.pausedHere.includes(name) ? '--this-node ' : ''}${name}`;
    findings.push({ check: 'pause', state: 'warning', says, cure });
  }
  return findings;
};

/** Whether other nodes can dial this one. */
export const checkReach: Check = ({ status }) => {
  const neighbours = status?.neighbours.filter(({ role }) => role === 'node') ?? [];
  const shut = neighbours.filter(({ cannotDialUs }) => cannotDialUs === true).length;
  if (status === undefined || neighbours.length === 0) return [];
  const share = `${shut} of ${neighbours.length} neighbouring nodes`;
  // A packet that is lost shuts out one for a while, a wall shuts out most.
  if (2 * shut < neighbours.length) {
    const says = `${shut === 0 ? 'no neighbouring node says that it cannot dial' : `${share} could not, when they last tried, dial`} ${status.peer}`;
    return [{ check: 'peer port', state: 'ok', says }];
  }
  const says = `this node cannot be dialled: ${share} do not reach its peer port (${status.peer}), past a firewall or NAT. It connects to them itself, and shares nothing with nodes that cannot be dialled either`;
  const cure = 'dfget daemon --advertise HOST:PORT';
  return [{ check: 'peer port', state: 'warning', says, cure }];
};

/** Whether clients on this machine reach the mirror where the daemon says that it listens. */
export const checkMirror: Check = async (patient) => {
  const { status } = patient;
  return await Promise.all(
    (status?.proxy ?? []).map(async ({ host, port }): Promise<Finding> => {
      const local = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host;
      const url = `http://${joinAddress(local, port)}/v2/`;
      try {
        const answer = await patient.get(url);
        return { check: 'mirror', state: 'ok', says: `${url} answers ${answer.status}` };
      } catch (error) {
        const says = `${url} does not answer, though the daemon listens there: ${describeError(error)}`;
        return { check: 'mirror', state: 'problem', says, cure: `curl -v ${url}` };
      }
    }),
  );
};
