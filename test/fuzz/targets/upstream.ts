import { upstream } from '../../../lib/config/upstream.ts';
import { isLayoutAddress, parseLayoutAddress } from '../../../lib/core/layout-address.ts';
import { upstreamUrls } from '../../../lib/origin/upstream.ts';
import { type FuzzTarget, promise } from '../target.ts';

const schema = upstream();
const full = {
  ...{
    name: 'harbor.corp',
    url: ['https://harbor.corp/path', 'https://b.corp'],
    username: 'robot',
    password: 'x',
  },
  ...{ 'auth-file': '/a', 'credential-helper': 'ecr-login', 'token-hosts': ['Auth.corp'], ca: '/ca' },
  ...{ 'client-cert': '/c', 'client-key': '/k', 'insecure-skip-verify': false, trust: 'node', verify: 'jwt' },
  ...{ 'verify-keys': '/v', 'verify-issuer': 'i', 'verify-service': 's' },
};

export const target: FuzzTarget = {
  about: 'an upstream as it is configured, as text or as an object of the settings file',
  parsers: {
    'lib/config/upstream.ts': [
      'upstream',
      'read',
      'readLayouts',
      'verification',
      'parseAddress',
      'shown',
      'decoded',
    ],
    'lib/core/layout-address.ts': ['isLayoutAddress', 'parseLayoutAddress'],
    'lib/origin/upstream.ts': ['upstreamUrls', 'parseUrl', 'isHttp'],
  },
  form: 'json',
  corpus: [
    JSON.stringify(full),
    JSON.stringify({ name: '*.gcr.io', url: 'https://*' }),
    JSON.stringify({ name: 'a', url: 'https://*' }),
    JSON.stringify({ name: 'docker.io', url: 'https://docker.io?x' }),
    JSON.stringify({ name: 'a', url: 'https://u@a' }),
    JSON.stringify({ name: 'a', url: 'https://a', 'client-cert': 'x' }),
    JSON.stringify({ name: 'a', url: 'https://a', verify: 'jwt' }),
    JSON.stringify({ name: 'a b', url: 'ftp://a' }),
    '"harbor.corp=https://user:p%zz@harbor.corp"',
    '"harbor.corp"',
    '"models=oci:/srv/images"',
    '"models=oci:/srv/../images:v1"',
    '"models=s3://images/prod?endpoint=https://rgw.corp"',
    JSON.stringify({ name: 'models', url: ['oci:/srv', 's3://images'], trust: 'node' }),
    JSON.stringify({ name: 'models', url: 'oci:/srv', trust: 'caller' }),
  ],
  refuses: ['CONFIG_INVALID'],
  parse: (input) => {
    let given: unknown;
    try {
      given = JSON.parse(input.toString());
    } catch {
      given = input.toString();
    }
    const result = schema.safeParse(given);
    if (!result.success) return;
    const { caFile, clientCertFile, clientKeyFile, verify, ...config } = result.data;
    promise([caFile, clientCertFile, clientKeyFile, verify].length === 4, 'paths are apart');
    if (isLayoutAddress(config.url)) {
      const places = [config.url, ...(config.replicas ?? [])].map(parseLayoutAddress);
      promise(!places.includes(undefined), 'places of layouts and registries are not mixed');
      return;
    }
    const urls = upstreamUrls(config);
    promise(
      urls.every((url) => url.username === '' && url.password === ''),
      'no secret stays in a url',
    );
  },
};
