import { randomUUID, sign, X509Certificate } from 'node:crypto';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import type { Certificate } from './certificate.ts';

export const ISSUER = 'token-server.test';
export const SERVICE = 'registry.test';

export interface Account {
  readonly password: string;
  /** Actions by repository; `*` stands for every repository. */
  readonly rights: Record<string, readonly string[]>;
  /** OAuth2 refresh token. */
  readonly refreshToken?: string;
}

export interface SeenQuestion {
  readonly method: string;
  readonly grant: string;
  readonly account: string;
  readonly scope: string;
}

/** A token service (distribution's token and OAuth2 specifications) that signs with RS256. */
export interface TokenServer {
  readonly realm: string;
  /** By name; may be changed while it runs. */
  readonly accounts: Record<string, Account>;
  readonly seen: SeenQuestion[];
  /** Every token that was ever given. */
  readonly issued: string[];
  /** Life of the tokens in seconds. */
  validSeconds: number;
  /** Takes only POST. */
  oauthOnly: boolean;
  /** A token for an account, as the service would give it. */
  issue(account: string, scope: string): string;
  close(): Promise<void>;
}

interface Question {
  readonly grant: string;
  readonly scope: string;
  readonly service: string;
  readonly account: string | undefined;
}

export async function startTokenServer(
  certificate: Certificate,
  accounts: Record<string, Account>,
  host = '127.0.0.1',
): Promise<TokenServer> {
  const seen: SeenQuestion[] = [];
  const http = createServer((request, response) => {
    void read(request, accounts).then((question) => {
      const { account, grant, scope, service } = question ?? {
        account: '?',
        grant: '?',
        scope: '',
        service: '',
      };
      seen.push({ method: request.method ?? '', grant, account: account ?? '', scope });
      const refused = question === undefined || service !== SERVICE;
      if (refused || (server.oauthOnly && request.method === 'GET')) {
        response.writeHead(refused ? 401 : 404, { 'content-length': '0' });
        response.end();
        return;
      }
      const token = server.issue(account ?? '', scope);
      const refresh = accounts[account ?? '']?.refreshToken;
      const body = JSON.stringify({
        token,
        access_token: token,
        expires_in: server.validSeconds,
        ...(grant === 'refresh_token' ? { refresh_token: refresh } : {}),
      });
      response.writeHead(200, {
        'content-type': 'application/json',
        'content-length': String(Buffer.byteLength(body)),
      });
      response.end(body);
    });
  });
  await new Promise<void>((resolve) => http.listen(0, host, resolve));
  const x5c = [new X509Certificate(certificate.cert).raw.toString('base64')];
  const server: TokenServer = {
    realm: `http://${host}:${(http.address() as AddressInfo).port}/token`,
    accounts,
    seen,
    issued: [],
    validSeconds: 300,
    oauthOnly: false,
    issue(account, scope) {
      const nowSeconds = Math.floor(Date.now() / 1000);
      const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
      const claims = {
        iss: ISSUER,
        sub: account,
        aud: SERVICE,
        iat: nowSeconds,
        nbf: nowSeconds - 10,
        exp: nowSeconds + server.validSeconds,
        jti: randomUUID(),
        access: granted(accounts[account], scope),
      };
      const signed = `${part({ typ: 'JWT', alg: 'RS256', x5c })}.${part(claims)}`;
      const signature = sign('RSA-SHA256', Buffer.from(signed), certificate.key).toString('base64url');
      server.issued.push(`${signed}.${signature}`);
      return `${signed}.${signature}`;
    },
    async close() {
      http.closeAllConnections();
      await new Promise((resolve) => http.close(resolve));
    },
  };
  return server;
}

/** Only what the account may do is granted; that is no error. */
function granted(account: Account | undefined, scope: string): object[] {
  return scope
    .split(' ')
    .filter((part) => part !== '')
    .map((part) => {
      const [type = '', name = '', actions = ''] = part.split(':');
      const rights = account?.rights[name] ?? account?.rights['*'] ?? [];
      return { type, name, actions: actions.split(',').filter((action) => rights.includes(action)) };
    })
    .filter(({ actions }) => actions.length > 0);
}

/** Undefined: a wrong password or refresh token. */
async function read(
  request: IncomingMessage,
  accounts: Record<string, Account>,
): Promise<Question | undefined> {
  const url = new URL(request.url ?? '', 'http://here');
  const form = new URLSearchParams(request.method === 'POST' ? await text(request) : '');
  const get = (name: string): string => form.get(name) ?? url.searchParams.get(name) ?? '';
  const common = { scope: get('scope'), service: get('service') };
  if (get('grant_type') === 'refresh_token') {
    const token = get('refresh_token');
    const found = Object.entries(accounts).find(([, account]) => account.refreshToken === token);
    return found === undefined ? undefined : { ...common, grant: 'refresh_token', account: found[0] };
  }
  if (get('grant_type') === 'password') {
    const known = accounts[get('username')]?.password === get('password');
    return known ? { ...common, grant: 'password', account: get('username') } : undefined;
  }
  const basic = /^Basic (.+)$/.exec(request.headers.authorization ?? '')?.[1];
  if (basic === undefined) return { ...common, grant: 'anonymous', account: undefined };
  const [name = '', password = ''] = Buffer.from(basic, 'base64').toString().split(/:(.*)/s);
  return accounts[name]?.password === password ? { ...common, grant: 'basic', account: name } : undefined;
}
