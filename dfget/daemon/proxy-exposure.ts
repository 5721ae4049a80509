import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { DamselflyError } from '../../lib/core/errors.ts';
import { isThisMachineOnly } from '../../lib/core/listen-place.ts';
import { joinAddress } from '../../lib/observe/admin-server.ts';
import type { Logger } from '../../lib/observe/log.ts';
import type { Clock } from '../../lib/runtime/clock.ts';
import { watchFile } from '../../lib/runtime/file-watch.ts';
import { systemFileStamp } from '../../lib/runtime/system-file-stamp.ts';
import type { ProxyTls } from '../../registry-proxy/listener.ts';
import type { DaemonConfig } from './config.ts';

type Exposure = Pick<
  DaemonConfig,
  'proxyListen' | 'forwardProxy' | 'proxyTlsCert' | 'proxyTlsKey' | 'plainProxy' | 'insecure'
>;

/**
 * What is to be said of listeners that other machines reach without TLS. The forward proxy has none of its own: clients
 * speak TLS with it inside their tunnels, but not about plain http addresses.
 * @throws CONFIG_INVALID when there is one that nobody has asked for by name
 */
export function plainProxyNotes(config: Exposure): readonly string[] {
  const { forwardProxy, insecure, plainProxy, proxyListen, proxyTlsCert } = config;
  const plain = [
    ...(proxyTlsCert === undefined ? proxyListen : []),
    ...(forwardProxy === undefined ? [] : [forwardProxy]),
  ];
  const exposed = plain
    .filter(({ host }) => !isThisMachineOnly(host))
    .map(({ host, port }) => joinAddress(host, port));
  if (exposed.length === 0) return [];
  if (plainProxy || insecure) {
    return [
      `plain-proxy: other machines reach ${exposed.join(', ')} without TLS; credentials of clients can be read on the way`,
    ];
  }
  throw new DamselflyError(
    'CONFIG_INVALID',
    `${exposed.join(', ')} can be reached from other machines without TLS: listen on 127.0.0.1, give the mirror ` +
      'a certificate (--proxy-tls-cert, --proxy-tls-key), or say --plain-proxy where the network is trusted',
  );
}

/** The certificate of the mirror, followed as its files change. @throws CONFIG_INVALID */
export function loadProxyTls(
  deps: { readonly clock: Clock; readonly log: Logger },
  { proxyTlsCert: certPath, proxyTlsKey: keyPath }: Exposure,
): ProxyTls | undefined {
  if (certPath === undefined && keyPath === undefined) return undefined;
  if (certPath === undefined || keyPath === undefined) {
    throw new DamselflyError('CONFIG_INVALID', '--proxy-tls-cert and --proxy-tls-key: give both');
  }
  let keys = read(certPath, keyPath);
  return {
    keys: () => keys,
    onChange: (changed) => {
      const look = (): void => {
        try {
          keys = read(certPath, keyPath);
          changed();
        } catch (error) {
          deps.log.error({ error: (error as Error).message }, "the mirror's new certificate is not used");
        }
      };
      const watching = { clock: deps.clock, stamp: systemFileStamp };
      const ends = [certPath, keyPath].map((path) => watchFile(watching, path, look));
      return () => {
        for (const end of ends) end();
      };
    },
  };
}

function read(certPath: string, keyPath: string): { readonly cert: string; readonly key: string } {
  try {
    const [cert, key] = [readFileSync(certPath, 'utf8'), readFileSync(keyPath, 'utf8')];
    if (new X509Certificate(cert).checkPrivateKey(createPrivateKey(key))) return { cert, key };
  } catch {
    // Told below, without anything of a key.
  }
  throw new DamselflyError(
    'CONFIG_INVALID',
    `${certPath} and ${keyPath} are not a certificate and its key, both PEM`,
  );
}
