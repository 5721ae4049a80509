import { Counter, Gauge, Registry } from 'prom-client';
import { addBuildInfo } from '../lib/observe/build-info.ts';
import { addProcessMetrics } from '../lib/observe/process-metrics.ts';

/** The metrics of a tracker; names and labels are public (docs/METRICS.md). */
export type TrackerMetrics = ReturnType<typeof createTrackerMetrics>;

/** @param options.defaults also collect those of the process (memory, CPU, event loop). @default true */
export function createTrackerMetrics(options: { readonly defaults?: boolean } = {}) {
  const registry = new Registry();
  const registers = [registry];
  if (options.defaults !== false) addProcessMetrics(registry);
  addBuildInfo(registry);
  const counter = <L extends string>(name: string, help: string, labelNames: L[] = []) =>
    new Counter({ name: `damselfly_tracker_${name}`, help, labelNames, registers });
  const gauge = <L extends string>(name: string, help: string, labelNames: L[] = []) =>
    new Gauge({ name: `damselfly_tracker_${name}`, help, labelNames, registers });
  return {
    registry,
    insecure: new Gauge({
      name: 'damselfly_insecure',
      help: '1 while connections between processes are neither encrypted nor authenticated',
      registers,
    }),
    members: gauge('members', 'Processes known now', ['protocol']),
    supernodes: gauge('supernodes', 'Supernodes among them'),
    swarms: gauge('swarms', 'Blobs with at least one member', ['protocol']),
    announces: counter('announces_total', 'Blobs announced', ['transport']),
    leases: gauge('leases', 'Leases on reads of registries, those of stripes read in the last 30 s included'),
    leaseAnswers: counter(
      'lease_answers_total',
      'Leases asked for: granted, or refused because others read the stripes (held), have read them (read), as many as may have stepped aside (crowded), or the lease had run out (lost)',
      ['answer'],
    ),
    cleaned: counter('cleaned_total', 'What had been left behind and was removed: lease, member', ['what']),
    peerStoreUp: gauge(
      'peer_store_up',
      '1 while trackers share peers and leases through --peer-store; 0 while this one goes on from memory alone',
      ['store'],
    ),
    peerStoreWrites: counter('peer_store_writes_total', 'Words on nodes and blobs written to --peer-store'),
    remoteNodes: gauge('remote_nodes', 'Nodes of other trackers that are named to nodes of this one'),
    controlMessages: counter('control_messages_total', 'Control messages received', ['type']),
    certificates: counter('certificates_total', 'Certificates given to members', ['role']),
    preheatOpen: gauge('preheat_jobs_open', 'Preheat jobs that are not over'),
    preheatJobs: counter('preheat_jobs_total', 'Preheat jobs that are over: succeeded, failed or canceled', [
      'outcome',
    ]),
    preheatEvents: counter(
      'preheat_events_total',
      'Events that registries, Harbor and Kubernetes told of: made a job or joined one (job), are about nothing that is preheated (ignored), or could not become a job (dropped)',
      ['outcome'],
    ),
    kubernetesLists: gauge(
      'kubernetes_lists',
      'Lists of workloads that are watched at the API server of Kubernetes (--watch-kubernetes)',
    ),
    refused: counter('refused_total', 'Requests and connections refused', ['reason']),
  };
}
