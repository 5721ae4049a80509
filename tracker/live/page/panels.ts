import { byId, showChildren, showRows } from './elements.ts';
import { bytesText, shortDigest } from './format.ts';
import type { Member, State, Swarm } from './state.ts';

/** Rows in one table: more cannot be read, and "find" leads to the others. */
const MAX_ROWS = 200;
/** Swarms in the list, those with readers first. */
const MAX_SWARMS = 100;

const WAITS_FOR: Readonly<Record<string, string>> = {
  authorization: "the registry's word on its right to read",
  'first-piece': 'somebody to have the first piece',
  source: 'somebody to have the next piece',
  slots: 'a free slot',
  transfer: 'bytes on their way',
  verification: 'hash and disk',
  none: 'nothing known yet',
};

export function showTiles({ last, members }: State): void {
  if (last === undefined) return;
  const {
    archive,
    members: all,
    objectStore,
    origin,
    peer,
    reporting,
    supernode,
    supernodes,
    swarms,
    toClients,
  } = last.totals;
  const versions = [...new Set([...members.values()].map(({ version }) => version))].filter(
    (text) => text !== '',
  );
  const zones = new Set([...members.values()].map(({ zone }) => zone));
  const spared = toClients > 0 ? `${Math.max(0, 100 * (1 - origin / toClients)).toFixed(1)} %` : 'none yet';
  const tiles: [name: string, label: string, text: string, exact: string][] = [
    ['nodes', 'Nodes', String(all - supernodes), String(all - supernodes)],
    ['supernodes', 'Supernodes', String(supernodes), String(supernodes)],
    ['reporting', 'Reporting', String(reporting), String(reporting)],
    ['zones', 'Zones', String(zones.size), String(zones.size)],
    ['versions', 'Versions', versions.sort().join(', ') || 'none yet', versions.join(',')],
    ['swarms', 'Swarms', String(swarms), String(swarms)],
    ['origin', 'From registries', bytesText(origin), String(origin)],
    ['object-store', 'From the bucket', bytesText(objectStore), String(objectStore)],
    ['supernode', 'From supernodes', bytesText(supernode), String(supernode)],
    ['peer', 'Between nodes', bytesText(peer), String(peer)],
    ['to-clients', 'To clients', bytesText(toClients), String(toClients)],
    ['archive', 'From archives', bytesText(archive), String(archive)],
    ['spared', 'Registries spared', spared, spared],
  ];
  showChildren(
    byId('tiles'),
    tiles.map(([key, label, text, exact]) => ({ key, label, text, exact })),
    {
      make: ({ label }) => {
        const tile = document.createElement('div');
        const term = document.createElement('dt');
        term.textContent = label;
        tile.append(term, document.createElement('dd'));
        return tile;
      },
      fill: (tile, { exact, text }) => {
        const value = tile.lastElementChild as HTMLElement;
        value.textContent = text;
        value.dataset['exact'] = exact;
      },
    },
  );
}

/** Swarms that clients read first, then those that are least complete. */
export function orderedSwarms({ swarms }: State): Swarm[] {
  return [...swarms.values()].sort(
    (a, b) => b.reading - a.reading || a.percent - b.percent || b.sharers - a.sharers || a.n - b.n,
  );
}

export function showSwarms(state: State, chosen: number | undefined, choose: (n: number) => void): void {
  // In the order in which they came: a list that jumps cannot be used.
  const shown = orderedSwarms(state)
    .slice(0, MAX_SWARMS)
    .sort((a, b) => a.n - b.n);
  showChildren(
    byId('swarms'),
    shown.map((swarm) => ({ key: String(swarm.n), swarm })),
    {
      make: ({ swarm }) => {
        const button = document.createElement('button');
        button.type = 'button';
        button.addEventListener('click', () => choose(swarm.n));
        const bar = document.createElement('progress');
        bar.max = 100;
        button.append(
          ...[0, 1].map(() => document.createElement('span')),
          bar,
          document.createElement('span'),
        );
        return button;
      },
      fill: (button, { swarm }) => {
        const [digest, size, bar, text] = button.children;
        button.setAttribute('aria-pressed', String(swarm.n === chosen));
        button.dataset['digest'] = swarm.digest;
        button.dataset['percent'] = String(swarm.percent);
        digest!.textContent = shortDigest(swarm.digest);
        size!.textContent = bytesText(swarm.size);
        (bar as HTMLProgressElement).value = swarm.percent;
        bar!.setAttribute('aria-label', `${swarm.percent} % of its pieces are on the nodes`);
        text!.textContent = `${swarm.complete} of ${swarm.sharers} complete`;
      },
    },
  );
}

function nameOf(member: Member | undefined): string {
  return member === undefined ? 'somebody who left' : `${member.role} ${member.id.slice(0, 8)}`;
}

export function swarmText({ complete, digest, percent, reading, sharers, size }: Swarm): string {
  return `${shortDigest(digest)}, ${bytesText(size)}: ${complete} of ${sharers} members have all of it, nodes have ${percent} % on average, clients of ${reading} read it`;
}

export function showSlow({ last, members, swarms }: State): void {
  const rows = (last?.slow ?? []).map(({ cause, member, ms, ofMs, on, percent, swarm }) => {
    const whom = on === undefined ? '' : `, ${on === 'registry' ? 'the registry' : nameOf(members.get(on))}`;
    const share = ofMs > 0 ? ` (${Math.round((100 * ms) / ofMs)} % of the time)` : '';
    const digest = shortDigest(swarms.get(swarm)?.digest ?? '');
    const why = `${WAITS_FOR[cause] ?? cause}${whom}${share}`;
    return {
      key: String(member),
      cells: [nameOf(members.get(member)), digest, [`${percent} %`, percent], why] as const,
    };
  });
  showRows(byId('slow'), rows);
}

export function showMembers({ members }: State, find: string): void {
  const words = find
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== '');
  const fits = ({ address, id, role, version, zone }: Member): boolean => {
    const text = `${role} ${id} ${address} ${zone} ${version}`.toLowerCase();
    return words.every((word) => text.includes(word));
  };
  const all = [...members.values()]
    .filter(fits)
    .sort((a, b) => (a.role < b.role ? 1 : a.role > b.role ? -1 : a.n - b.n));
  const bytes = (exact: number) => [bytesText(exact), exact] as const;
  showRows(
    byId('members'),
    all.slice(0, MAX_ROWS).map((member) => ({
      key: member.id,
      cells: [
        ...[nameOf(member), member.address, member.zone, member.version || 'does not report'],
        ...[member.origin, member.objectStore, member.supernode, member.peer].map(bytes),
        ...[member.toPeers, member.toClients].map(bytes),
      ],
    })),
  );
  const left = all.length - MAX_ROWS;
  byId('members-more').textContent = left > 0 ? `and ${left} more` : '';
}

export function showPreheats({ preheats }: State): void {
  const rows = preheats.map(({ done, failed, id, machines, name, state, to, what, why }) => ({
    key: String(id),
    cells: [
      ...[`${what} ${id}`, name, to, why === undefined ? state : `${state}: ${why}`],
      ...[done, failed, machines].map((count) => [String(count), count] as const),
    ],
  }));
  showRows(byId('preheats'), rows);
}

export function showSharers({ members }: State, swarm: Swarm | undefined): void {
  const rows = [...(swarm?.have ?? [])]
    .sort(([, a], [, b]) => a.percent - b.percent)
    .slice(0, MAX_ROWS)
    .map(([n, { percent }]) => {
      const member = members.get(n);
      return {
        key: String(n),
        cells: [nameOf(member), member?.zone ?? '', [`${percent} %`, percent]] as const,
      };
    });
  showRows(byId('node-rows'), rows);
}

export function showBans({ last, members }: State): void {
  const items = (last?.bans ?? []).map((ban) => ({ key: `${ban.by} ${ban.peer} ${ban.reason}`, ban }));
  const unique = [...new Map(items.map((item) => [item.key, item])).values()];
  showChildren(byId('bans'), unique, {
    make: () => document.createElement('li'),
    fill: (item, { ban: { atMs, by, peer, reason } }) => {
      item.textContent = `${new Date(atMs).toLocaleTimeString()}: ${nameOf(members.get(by))} speaks to ${peer} no more (${reason})`;
    },
  });
}
