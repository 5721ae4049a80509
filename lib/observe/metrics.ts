import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { addBuildInfo } from './build-info.ts';
import { addProcessMetrics } from './process-metrics.ts';

/** Where received bytes came from. */
export type Source = 'origin' | 'supernode' | 'peer' | 'archive' | 'object-store';

/** The metrics of a process that moves blobs (node daemon, supernode); names and labels are public (docs/METRICS.md). */
export type Metrics = ReturnType<typeof createMetrics>;

const FALLBACK_HELP =
  'Times the node read from the registry itself: nothing came from the swarm (stalled), nobody was there who could send (no-peers), no supernode could read the blob (supernode-failed), a living supernode or the holder of the lease was slow (aside), the swarm gave far less than the registry would (hedge), nobody gave leave for 20 s (last-resort), our own disk failed (store), no supernode says that it may be had from peers, and not everybody may have it (no-capability), the upstream is paused (paused)';

const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600];

const RATIOS = [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 1];

export function createMetrics(options: { readonly defaults?: boolean } = {}) {
  const registry = new Registry();
  const registers = [registry];
  if (options.defaults !== false) addProcessMetrics(registry);
  addBuildInfo(registry);
  const counter = <L extends string>(name: string, help: string, labelNames: L[]) =>
    new Counter({ name: `damselfly_${name}`, help, labelNames, registers });
  const gauge = (name: string, help: string) => new Gauge({ name: `damselfly_${name}`, help, registers });
  const histogram = <L extends string>(name: string, help: string, labelNames: L[], buckets: number[]) =>
    new Histogram({ name: `damselfly_${name}`, help, labelNames, buckets, registers });
  return {
    registry,
    zone: new Gauge({
      name: 'damselfly_zone_info',
      help: '1 for the zone that this process is in',
      labelNames: ['zone'],
      registers,
    }),
    borderBytes: counter(
      'border_bytes_total',
      'Verified bytes of pieces received from members of other zones, by their zone',
      ['from'],
    ),
    receivedBytes: counter('received_bytes_total', 'Verified blob bytes received, by where they came from', [
      'source',
    ]),
    sentBytes: counter('sent_bytes_total', 'Blob bytes sent', ['to']),
    objectStore: counter(
      'object_store_total',
      'What was asked of --blob-store: the index of a blob, reads of its pieces, blobs to keep, blobs to remove because they were wrong; and how that went',
      ['kind', 'outcome'],
    ),
    pullSeconds: histogram('blob_pull_seconds', 'From a blob request to its last byte', ['outcome'], SECONDS),
    firstByteSeconds: histogram('first_byte_seconds', 'From a blob request to its first byte', [], SECONDS),
    pullEfficiency: histogram(
      'pull_efficiency_ratio',
      'T*/T of each pull to its end. T: from the blob request to its last byte. T*: the longest of the missing bytes at the highest rate at which the node received bytes in any half second of the last ten minutes, the bytes it read from a registry itself at the highest such rate from registries, and the time its client took to take what it was given',
      [],
      RATIOS,
    ),
    piecesRejected: counter('pieces_rejected_total', 'Pieces whose bytes did not match their proof', [
      'reason',
    ]),
    peersBanned: counter('peers_banned_total', 'Peers from which nothing is taken any more', ['reason']),
    originRequests: counter('origin_requests_total', 'Requests to registries', ['kind', 'status']),
    fallback: counter('fallback_total', FALLBACK_HELP, ['reason']),
    wants: counter(
      'wants_total',
      'Times that supernodes were asked for the very piece that a client had waited for',
      [],
    ),
    passedOn: counter(
      'passed_on_total',
      'Times a blob that our own disk does not take was passed on from the swarm to a client, without storing it',
      [],
    ),
    leases: counter(
      'leases_total',
      'Leases on registry reads that were asked for: granted, or refused because others read the stripes (held), have read them (read) or as many as may have stepped aside (crowded); lost ones; and what the node decided without a tracker (local-granted, local-refused)',
      ['answer'],
    ),
    authorization: counter('authorization_total', 'Verdicts on the right to read', ['verdict']),
    settingsChanges: counter('settings_changes_total', 'Changes of settings while the process ran', [
      'source',
      'outcome',
    ]),
    paused: gauge('paused_upstreams', 'Upstreams whose pulls go straight to the registry'),
    insecure: gauge(
      'insecure',
      '1 while connections between processes are neither encrypted nor authenticated',
    ),
    strikes: counter('strikes_total', 'Reads of members that signed pieces which are not in the blob', []),
    refused: counter(
      'refused_total',
      'Blobs not given to members that have not shown the right to them, by what was wrong',
      ['reason'],
    ),
    strangers: counter('strangers_total', 'Connections refused because they could not prove to be a peer', [
      'reason',
    ]),
    upstreamTrust: new Gauge({
      name: 'damselfly_upstream_trust',
      help: '1 for the trust mode of each upstream: whose rights decide what a caller may read',
      labelNames: ['upstream', 'trust'],
      registers,
    }),
    upstreamCircuit: new Gauge({
      name: 'damselfly_upstream_circuit',
      help: 'Whether the registry is asked for blobs: 0 yes, 1 one probe at a time, 2 not now, it failed again and again',
      labelNames: ['upstream'],
      registers,
    }),
    cleaned: counter(
      'cleaned_total',
      'What had been left behind and was ended: swarms that nobody asked for (swarm), links beyond 128 over which no blob is shared (link), memory for pieces that nobody needed for ten seconds (buffer)',
      ['what'],
    ),
    unsharedBytes: gauge(
      'unshared_bytes',
      'Bytes that nodes wait for and only this supernode holds: without it they are read from the registry again',
    ),
    preheatTasks: counter(
      'preheat_tasks_total',
      "Trackers' orders to preheat: images resolved or not (resolved, unresolved), blobs of a job brought here or not (done, failed, canceled)",
      ['outcome'],
    ),
    preheatBytes: counter(
      'preheat_bytes_total',
      'Bytes of blobs that orders to preheat asked for and that are here',
      [],
    ),
    bittorrentShares: gauge('bittorrent_shares', 'Files shared with BitTorrent clients'),
    bittorrentSentBytes: counter('bittorrent_sent_bytes_total', 'Bytes sent to BitTorrent clients', []),
    storeBytes: gauge('store_bytes', 'Verified bytes in the store'),
    storeBlobs: gauge('store_blobs', 'Blobs in the store, complete or not'),
    discoveryAnswers: counter('discovery_answers_total', 'Times that peers were named for a blob', ['from']),
    dhtJoined: gauge('discovery_dht_joined', '1 while this process is in the DHT'),
    dhtMembers: gauge('discovery_dht_members', 'Members of the DHT connected now'),
    dhtRecords: gauge('discovery_dht_records', 'Blobs that this process has records for in the DHT'),
    dhtPublished: counter('discovery_dht_published_total', 'Records written, renewals included', ['outcome']),
    dhtSearches: counter('discovery_dht_searches_total', 'Searches for who shares a blob', ['outcome']),
    rememberedPeers: gauge('discovery_remembered_peers', 'Peers that are remembered across restarts'),
    links: gauge('peer_links', 'Neighbours connected now'),
    linksNotDialled: gauge(
      'peer_links_not_dialled',
      'Neighbours connected now that could not dial this process when they last tried: its peer port is not reachable for them',
    ),
    reversedConnections: counter(
      'reversed_connections_total',
      'Connections for pieces where the receiver cannot dial the sender: asked of a sender by this process; opened, or tried in vain, because a receiver has asked',
      ['outcome'],
    ),
    swarms: gauge('swarms', 'Blobs shared with neighbours now'),
    uploadsActive: gauge('uploads_active', 'Pieces being sent to peers now'),
    downloadsActive: gauge('downloads_active', 'Pieces being fetched from peers now'),
  };
}
