import { parseArgs } from 'node:util';
import { parseAddress } from '../../bench/fixtures/address.ts';
import { startCorruptRelay } from './corrupt-relay.ts';

const { values } = parseArgs({ options: { listen: { type: 'string' }, target: { type: 'string' } } });
const relay = await startCorruptRelay({
  listen: parseAddress(values.listen ?? ''),
  target: parseAddress(values.target ?? ''),
});
process.stdout.write(`${JSON.stringify({ process: 'corrupt-relay', listen: relay.address })}\n`);
process.once('SIGTERM', () => void relay.close());
