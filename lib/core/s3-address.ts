/** Where blobs are kept: a bucket, and where to find it. */
export interface S3Address {
  readonly bucket: string;
  /** Of the names of all objects: empty, or ends with a slash. */
  readonly prefix: string;
  /** Of a store that is not Amazon's. */
  readonly endpoint: string | undefined;
  readonly region: string | undefined;
  /** The bucket is named in the path and not in the host. */
  readonly pathStyle: boolean;
}

const BUCKET = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;
const OPTIONS = new Set(['endpoint', 'region', 'path-style']);

/** `s3://bucket/prefix?endpoint=https://rgw.corp&region=eu-1`; undefined when that is not what the text is. */
export function parseS3Address(text: string): S3Address | undefined {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== 's3:' || !BUCKET.test(url.host) || hasUser(url)) return undefined;
  const options = url.searchParams;
  if ([...options.keys()].some((name) => !OPTIONS.has(name))) return undefined;
  const endpoint = options.get('endpoint') ?? undefined;
  if (endpoint !== undefined && !isEndpoint(endpoint)) return undefined;
  const folder = decoded(url.pathname)?.replace(/^\/+|\/+$/g, '');
  if (folder === undefined) return undefined;
  const pathStyle = options.get('path-style') ?? (endpoint === undefined ? 'false' : 'true');
  return {
    bucket: url.host,
    prefix: folder === '' ? '' : `${folder}/`,
    endpoint,
    // The SDK knows Amazon's from the environment; others have any.
    region: options.get('region') ?? (endpoint === undefined ? undefined : 'us-east-1'),
    pathStyle: pathStyle === 'true',
  };
}

function isEndpoint(text: string): boolean {
  const url = URL.parse(text);
  return url !== null && /^https?:$/.test(url.protocol) && !hasUser(url);
}

/** Credentials come from elsewhere: an address is shown. */
function hasUser({ password, username }: URL): boolean {
  return username !== '' || password !== '';
}

function decoded(path: string): string | undefined {
  try {
    return decodeURIComponent(path);
  } catch {
    return undefined;
  }
}
