import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import type { ListenAddress } from '../lib/config/values.ts';
import { cannotListen } from './listen.ts';
import type { UdpConnectionIds } from './udp-connection-ids.ts';

/** First eight bytes of a connect request (BEP 15), and what the library takes for a valid connection id. */
const PROTOCOL_MAGIC = Buffer.from('0000041727101980', 'hex');
const CONNECT = 0;
const ANNOUNCE = 1;
const SCRAPE = 2;
const CONNECT_BYTES = 16;
const ANNOUNCE_BYTES = 98;
/** Where an announce may name another address than the one it comes from. */
const IP_OFFSET = 84;
/** A scrape asks for at most 74 swarms (BEP 15), which also bounds how much longer an answer is than its question. */
const MAX_SCRAPE_BYTES = 16 + 74 * 20;

/** @throws CONFIG_INVALID when the address cannot be listened on */
export async function listenUdp(address: ListenAddress): Promise<{ socket: Socket; address: ListenAddress }> {
  const socket = createSocket(isIPv6(address.host) ? 'udp6' : 'udp4');
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject);
      socket.bind(address.port, address.host, resolve);
    });
  } catch (error) {
    socket.close();
    throw cannotListen(address, error);
  }
  socket.removeAllListeners('error');
  return { socket, address: { host: address.host, port: socket.address().port } };
}

/**
 * Checks one packet before the library sees it. The library takes any sender address for real and lets an announce
 * name another host; both would let strangers aim our clients at a third party.
 * @returns what to send back at once; `pass` when the library should answer (the packet was changed for it); `drop`
 */
export function admitUdp(message: Buffer, from: RemoteInfo, ids: UdpConnectionIds): Buffer | 'pass' | 'drop' {
  if (message.length < CONNECT_BYTES || from.port === 0) return 'drop';
  const action = message.readUInt32BE(8);
  const id = message.subarray(0, 8);
  if (action === CONNECT) {
    if (!id.equals(PROTOCOL_MAGIC)) return 'drop';
    return Buffer.concat([message.subarray(8, 16), ids.issue(from.address)]);
  }
  if (!ids.valid(id, from.address)) return 'drop';
  if (action === ANNOUNCE && message.length >= ANNOUNCE_BYTES) message.fill(0, IP_OFFSET, IP_OFFSET + 4);
  else if (action !== SCRAPE || message.length > MAX_SCRAPE_BYTES) return 'drop';
  PROTOCOL_MAGIC.copy(message);
  return 'pass';
}
