/** Paths of the registry API that stand for many, for names that are to be few: metrics, spans. */
const TEMPLATES: readonly (readonly [RegExp, string])[] = [
  [/^\/v2\/?$/, '/v2/'],
  [/^\/v2\/_catalog$/, '/v2/_catalog'],
  [/^\/v2\/.+\/manifests\/[^/]+$/, '/v2/{name}/manifests/{reference}'],
  [/^\/v2\/.+\/blobs\/uploads(?:\/[^/]*)?$/, '/v2/{name}/blobs/uploads/{session}'],
  [/^\/v2\/.+\/blobs\/[^/]+$/, '/v2/{name}/blobs/{digest}'],
  [/^\/v2\/.+\/tags\/list$/, '/v2/{name}/tags/list'],
  [/^\/v2\/.+\/referrers\/[^/]+$/, '/v2/{name}/referrers/{digest}'],
];

/** `/v2/team/app/blobs/sha256:…` -> `/v2/{name}/blobs/{digest}`; undefined for what is not of the registry API. */
export function pathTemplate(path: string): string | undefined {
  return TEMPLATES.find(([pattern]) => pattern.test(path))?.[1];
}
