import { z } from 'zod';
import { isLayoutAddress, parseLayoutAddress } from '../core/layout-address.ts';
import type { TokenVerification, Upstream } from '../core/upstream.ts';
import { refuse, zoneName } from './values.ts';

/** An upstream as it is set: where {@link Upstream} has the text of PEM files, this has their paths. */
export interface UpstreamConfig extends Omit<Upstream, 'ca' | 'clientCert' | 'clientKey' | 'verify'> {
  /** Where `url` and each of `replicas` are, empty for those that do not say. */
  readonly zones?: readonly string[];
  readonly caFile?: string;
  readonly clientCertFile?: string;
  readonly clientKeyFile?: string;
  readonly verify?: Omit<TokenVerification, 'keys'> & { readonly keysFile: string };
}

const TRUST_MODES = ['caller', 'node'] as const;
const EXPECTED = 'NAME=URL, such as harbor.corp=https://harbor.corp';
const EXPECTED_LAYOUT =
  'for images without a registry NAME=oci:/FOLDER or NAME=s3://BUCKET/PREFIX?endpoint=URL, the tag in the name of the image, credentials in the environment';
const NAME = /^(?:[a-z0-9*](?:[a-z0-9.:_*-]*[a-z0-9*])?|\[[0-9a-f:.]+\](?::\d{1,5})?)$/i;

/** Names as in the file, with what the documentation says of each; unknown ones are refused. */
const fileForm = z.strictObject({
  name: z
    .string()
    .describe(
      'the registry as images name it; `*` in it stands for one or more labels of a host name: `*.gcr.io`',
    ),
  url: z
    .union([
      z.string(),
      z.array(z.union([z.string(), z.strictObject({ url: z.string(), zone: zoneName() })])).min(1),
    ])
    .describe(
      'where it is: a registry, `oci:/FOLDER` or `s3://BUCKET/PREFIX` ([ORIGINS.md](ORIGINS.md)); a list for several addresses of one registry, which are asked in order, those that fail last; `{url, zone}` instead of an address where it is in a zone: those nearest to ours are asked first. For a name with `*` the host is `*` too: `https://*`',
    ),
  username: z.string().optional().describe('our account there, a robot account for example'),
  password: z.string().optional().describe('its password or token'),
  'auth-file': z
    .string()
    .optional()
    .describe(
      "docker's `config.json` or containers' `auth.json` with the credentials, before those of `--auth-file`",
    ),
  'credential-helper': z
    .string()
    .regex(
      /^[A-Za-z0-9._-]+$/,
      'expected the end of a program name: ecr-login for docker-credential-ecr-login',
    )
    .optional()
    .describe('`ecr-login`: the program `docker-credential-ecr-login` is asked for the credentials'),
  'token-hosts': z
    .array(z.string())
    .optional()
    .describe('hosts of other domains whose token service may be sent the credentials, by https'),
  ca: z.string().optional().describe('PEM file of authorities to trust for it besides those of the machine'),
  'client-cert': z
    .string()
    .optional()
    .describe('PEM file of our certificate, shown to these addresses alone'),
  'client-key': z.string().optional().describe('PEM file of its key'),
  'insecure-skip-verify': z
    .boolean()
    .optional()
    .describe('takes any certificate of these addresses; said aloud at start and in `/readyz`'),
  trust: z
    .enum(TRUST_MODES)
    .optional()
    .describe(
      '`caller` (default): every caller reads with its own credentials. `node`: callers that send none read with those of the upstream; said aloud at start, in `/readyz` and in `damselfly_upstream_trust`',
    ),
  verify: z
    .literal('jwt')
    .optional()
    .describe(
      '`jwt`: a signed token that grants pulling is believed without asking the registry, for blobs that the registry is known to have in that repository; needs the three below',
    ),
  'verify-keys': z
    .string()
    .optional()
    .describe('PEM file of the certificates or public keys that sign the tokens'),
  'verify-issuer': z.string().optional().describe('`iss` of those tokens'),
  'verify-service': z
    .string()
    .optional()
    .describe("`aud` of those tokens: `service` in the registry's challenge"),
});

/** What an upstream's entries in a file are called, and what they mean: for the documentation. */
export const UPSTREAM_FIELDS: Readonly<Record<string, string>> = Object.fromEntries(
  Object.entries(fileForm.shape).map(([name, field]) => [name, field.description ?? '']),
);

/** `NAME=URL` (credentials may stand in the URL), or in a file an object with the names of {@link fileForm}. */
export const upstream = () =>
  z.unknown().transform((given, context): UpstreamConfig => {
    if (typeof given === 'string') {
      const at = given.indexOf('=');
      return read({ name: given.slice(0, Math.max(at, 0)), url: given.slice(at + 1) }, context);
    }
    const parsed = fileForm.safeParse(given);
    if (parsed.success) return read(parsed.data, context);
    const [issue] = parsed.error.issues;
    const where = issue?.path.join('.') ?? '';
    return refuse(
      context,
      `${EXPECTED}, or an object of ${Object.keys(fileForm.shape).join(', ')}; ${where}: ${issue?.message}`,
    );
  });

function read(given: z.output<typeof fileForm>, context: z.RefinementCtx): UpstreamConfig {
  const entries = [given.url]
    .flat()
    .map((entry) => (typeof entry === 'string' ? { url: entry, zone: '' } : entry));
  const zones = entries.some(({ zone }) => zone !== '') ? { zones: entries.map(({ zone }) => zone) } : {};
  if (entries.some(({ url }) => isLayoutAddress(url))) {
    const texts = entries.map(({ url }) => url);
    return { ...readLayouts(given, texts, context), ...zones };
  }
  const [first, ...others] = entries.map(({ url }) => parseAddress(url));
  const addresses = [first, ...others];
  if (first === undefined || addresses.includes(undefined) || !NAME.test(given.name)) {
    return refuse(context, EXPECTED);
  }
  const pattern = given.name.includes('*');
  if (addresses.some((address) => (address?.url.hostname === '*') !== pattern)) {
    return refuse(context, 'a url with the host * for a name with a * and for no other: *.gcr.io=https://*');
  }
  const username = given.username ?? first.username;
  const password = given.password ?? first.password;
  if ((username === undefined) !== (password === undefined)) {
    return refuse(context, 'username and password together');
  }
  if ((given['client-cert'] === undefined) !== (given['client-key'] === undefined)) {
    return refuse(context, 'client-cert and client-key together');
  }
  const verify = verification(given, context);
  const optional = {
    verify,
    replicas: others.length === 0 ? undefined : others.map((address) => shown(address?.url)),
    username,
    password,
    authFiles: given['auth-file'] === undefined ? undefined : [given['auth-file']],
    credentialHelper: given['credential-helper'],
    tokenHosts: given['token-hosts']?.map((host) => host.toLowerCase()),
    caFile: given.ca,
    clientCertFile: given['client-cert'],
    clientKeyFile: given['client-key'],
    insecureSkipVerify: given['insecure-skip-verify'],
    trust: given.trust,
  };
  const set = Object.entries(optional).filter(([, value]) => value !== undefined);
  return { name: given.name.toLowerCase(), url: shown(first.url), ...zones, ...Object.fromEntries(set) };
}

/** Images that lie in folders or buckets: nobody is asked who may read them but whoever lets us. */
function readLayouts(
  given: z.output<typeof fileForm>,
  [first = '', ...others]: readonly string[],
  context: z.RefinementCtx,
): UpstreamConfig {
  const addresses = [first, ...others].map(parseLayoutAddress);
  if (addresses.includes(undefined) || !NAME.test(given.name) || given.name.includes('*')) {
    return refuse(context, EXPECTED_LAYOUT);
  }
  const foreign = Object.keys(given).find((key) => !['name', 'url', 'trust'].includes(key));
  if (foreign !== undefined || given.trust === 'caller') {
    return refuse(context, `no ${foreign ?? 'trust: caller'} for images without a registry: nobody logs in`);
  }
  const replicas = others.length === 0 ? {} : { replicas: others };
  return { name: given.name.toLowerCase(), url: first, ...replicas, trust: 'node' };
}

function verification(given: z.output<typeof fileForm>, context: z.RefinementCtx): UpstreamConfig['verify'] {
  const { 'verify-keys': keysFile, 'verify-issuer': issuer, 'verify-service': service, verify } = given;
  const parts = [keysFile, issuer, service].filter((part) => part !== undefined);
  if (verify === undefined && parts.length === 0) return undefined;
  if (verify === undefined || keysFile === undefined || issuer === undefined || service === undefined) {
    return refuse(context, 'verify: jwt together with verify-keys, verify-issuer and verify-service');
  }
  return { keysFile, issuer, service };
}

interface Address {
  /** Without user and password. */
  readonly url: URL;
  readonly username: string | undefined;
  readonly password: string | undefined;
}

function parseAddress(text: string): Address | undefined {
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol)) return undefined;
  const username = decoded(url.username) || undefined;
  const password = decoded(url.password) || undefined;
  url.username = '';
  url.password = '';
  return { url, username, password };
}

function shown(url: URL | undefined): string {
  return (url?.href ?? '').replace(/\/+$/, '');
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
