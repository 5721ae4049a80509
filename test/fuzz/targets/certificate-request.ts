import { generateKeyPairSync } from 'node:crypto';
import {
  createCertificateRequest,
  createMemberKey,
  readCertificateRequest,
} from '../../../lib/security/enrolment.ts';
import { type FuzzTarget, promise } from '../target.ts';

const request = await createCertificateRequest(createMemberKey('node'));
const other = await createCertificateRequest(createMemberKey('tracker'));
const rsa = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({
  type: 'spki',
  format: 'pem',
});

export const target: FuzzTarget = {
  about: 'certificate requests of whoever would become a member',
  parsers: { 'lib/security/enrolment.ts': ['readCertificateRequest'] },
  form: 'text',
  corpus: [request, other, String(rsa), 'x'.repeat(20_000), ''],
  words: [
    '-----BEGIN CERTIFICATE REQUEST-----',
    '-----END CERTIFICATE REQUEST-----',
    '\n',
    'A',
    '=',
    'MII',
    'AAAA',
    '////',
  ],
  maxBytes: 16 * 1024,
  refuses: ['IDENTITY_REFUSED'],
  parse: async (input) => {
    const key = await readCertificateRequest(input.toString('latin1'));
    promise(key.type === 'public', 'it gives a public key');
  },
};
