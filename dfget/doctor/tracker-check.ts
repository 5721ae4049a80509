import { describeError } from '../../lib/core/errors.ts';
import type { DaemonStatus } from '../local-protocol.ts';
import type { Check, Finding, Patient } from './check.ts';
import { clockSkew } from './clock-skew.ts';

/** Whether trackers answer, have our time, and know of a supernode. */
export const checkTrackers: Check = async (patient) => {
  const { status } = patient;
  if (status === undefined) return [];
  const { urls } = status.tracker;
  if (status.discovery.mode === 'dht' || (urls.length === 0 && status.discovery.by === 'dht')) {
    if (status.discovery.by === 'dht') return [{ check: 'dht', state: 'ok', says: 'peers are found' }];
    const says = 'no other member of the DHT answers';
    return [
      { check: 'dht', state: 'problem', says, cure: 'dfget daemon --discovery dht --bootstrap PEER:65002' },
    ];
  }
  if (urls.length === 0) {
    const says = 'the daemon has no tracker: it finds no other nodes, and reads everything from the registry';
    return [{ check: 'tracker', state: 'warning', says, cure: 'dfget daemon --tracker ws://TRACKER:8400' }];
  }
  // A tracker of a cluster with identities answers members alone: the daemon is one.
  if (status.cluster !== null) return [daemonsWord(status)];
  return (await Promise.all(urls.map((url) => checkTracker(patient, url)))).flat();
};

function daemonsWord({ cluster, tracker }: DaemonStatus): Finding {
  const check = `trackers of the cluster ${cluster ?? ''}`;
  if (tracker.reachable) return { check, state: 'ok', says: 'at least one answers the daemon' };
  const says = 'none takes the daemon as a member: blobs come from the registry and from known peers';
  const [url = ''] = tracker.urls;
  const cure = `openssl s_client -connect ${new URL(url).host}   # if it answers, look for "tracker" in the daemon's log`;
  return { check, state: 'problem', says, cure };
}

async function checkTracker(patient: Patient, url: string): Promise<Finding[]> {
  const check = `tracker ${url}`;
  const base = url.replace(/^ws/, 'http');
  try {
    const { date, status, text } = await patient.get(`${base}/metrics`);
    const skew = clockSkew(check, date, patient.now());
    if (status !== 200) {
      const says = `what answers there is no tracker (status ${status})`;
      return [{ check, state: 'problem', says, cure: `curl -v ${base}/healthz` }, ...skew];
    }
    return [{ check, state: 'ok', says: 'answers' }, ...supernodes(check, text, url), ...skew];
  } catch (error) {
    const says = `it does not answer (${describeError(error)}): blobs come from the registry and from known peers`;
    const port = new URL(base).port;
    return [{ check, state: 'problem', says, cure: `damselfly tracker --listen 0.0.0.0:${port || '8400'}` }];
  }
}

function supernodes(check: string, metrics: string, url: string): Finding[] {
  const count = /^damselfly_tracker_supernodes(?:\{[^}]*\})? (\d+)/m.exec(metrics)?.[1];
  if (count === undefined) return [];
  if (count !== '0') return [{ check: 'supernodes', state: 'ok', says: `${check} knows ${count}` }];
  const says = `${check} knows no supernode: nodes read the registry themselves`;
  return [{ check: 'supernodes', state: 'warning', says, cure: `damselfly supernode --tracker ${url}` }];
}
