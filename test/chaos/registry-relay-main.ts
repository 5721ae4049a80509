import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import { parseArgs } from 'node:util';
import { parseAddress } from '../../bench/fixtures/address.ts';
import { type RegistryFault, startRegistryRelay } from './registry-relay.ts';

// A relay before the registry as its own process; GET tells its counters, PUT sets its fault.
const { values } = parseArgs({
  options: { host: { type: 'string' }, target: { type: 'string' }, 'control-host': { type: 'string' } },
});
const relay = await startRegistryRelay({
  host: values.host ?? '127.0.0.1',
  target: parseAddress(values.target ?? ''),
  // Kept with the logs of a run that did not hold.
  onAnswer: (answer) =>
    void process.stderr.write(`${JSON.stringify({ time: new Date().toISOString(), ...answer })}\n`),
});
const control = createServer((request, response) => {
  if (request.method !== 'PUT') {
    response.end(JSON.stringify(relay.counters));
    return;
  }
  void json(request).then((fault) => {
    relay.fault = fault as RegistryFault;
    response.writeHead(204).end();
  });
});
control.listen(0, values['control-host'], () => {
  const { address, port } = control.address() as AddressInfo;
  const ready = { process: 'registry-relay', listen: relay.address, control: `${address}:${port}` };
  process.stdout.write(`${JSON.stringify(ready)}\n`);
});
process.once('SIGTERM', () => {
  control.closeAllConnections();
  control.close();
  void relay.close();
});
