import { findStoredSecret, secretOfHelper, serverName } from '../../../lib/origin/docker-config.ts';
import { type FuzzTarget, promise } from '../target.ts';

const auth = Buffer.from('user:pass').toString('base64');

export const target: FuzzTarget = {
  about: "docker's config.json, containers' auth.json, and the answers of credential helpers",
  parsers: { 'lib/origin/docker-config.ts': ['*'] },
  form: 'json',
  corpus: [
    JSON.stringify({
      auths: { 'https://harbor.corp/v2/': { auth }, 'harbor.corp/team': { username: 'a', password: 'b' } },
    }),
    JSON.stringify({ auths: { 'harbor.corp': { identitytoken: 't' } }, credsStore: 'pass' }),
    JSON.stringify({
      credHelpers: { 'harbor.corp': 'ecr-login', 'docker.io': '../../bin/sh' },
      credsStore: 'desktop',
    }),
    JSON.stringify({ auths: { 'harbor.corp': { auth: 'bm8' } }, credsStore: 7 }),
    JSON.stringify({ ServerURL: 'x', Username: '<token>', Secret: 's' }),
    JSON.stringify({ ServerURL: 'x', Username: 'u', Secret: 's' }),
    'null',
  ],
  parse: (input) => {
    let file: unknown;
    try {
      file = JSON.parse(input.toString());
    } catch {
      return;
    }
    for (const registry of ['harbor.corp', 'docker.io', 'index.docker.io']) {
      serverName(registry);
      const secret = findStoredSecret(file, registry, 'team/app');
      if (secret?.kind === 'helper') {
        promise(/^[A-Za-z0-9._-]+$/.test(secret.helper), 'a helper is a plain name');
      }
    }
    secretOfHelper(file);
  },
};
