import { parseArgs } from 'node:util';
import { makeCertificate } from '../helpers/certificate.ts';
import { startTokenServer } from '../helpers/token-server.ts';

// A token server with one account that may pull everything, as its own process.
const { values } = parseArgs({
  options: {
    host: { type: 'string', default: '127.0.0.1' },
    folder: { type: 'string', default: '.' },
    user: { type: 'string', default: '' },
    password: { type: 'string', default: '' },
  },
});
const certificate = makeCertificate(values.folder);
const account = { password: values.password, rights: { '*': ['pull'] } };
const server = await startTokenServer(certificate, { [values.user]: account }, values.host);
const ready = { process: 'token-server', realm: server.realm, certificate: certificate.certPath };
process.stdout.write(`${JSON.stringify(ready)}\n`);
process.once('SIGTERM', () => void server.close());
