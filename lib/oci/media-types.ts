/** Media types of manifests and indexes (image-spec, media-types.md, and their Docker schema 2 forerunners). */
export const MEDIA_TYPES = {
  ociManifest: 'application/vnd.oci.image.manifest.v1+json',
  ociIndex: 'application/vnd.oci.image.index.v1+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerList: 'application/vnd.docker.distribution.manifest.list.v2+json',
} as const;

/** Accept value of someone who understands every manifest we do. */
export const MANIFEST_ACCEPT = [
  MEDIA_TYPES.ociIndex,
  MEDIA_TYPES.ociManifest,
  MEDIA_TYPES.dockerList,
  MEDIA_TYPES.dockerManifest,
].join(', ');

export const OCTET_STREAM = 'application/octet-stream';

/** Layers that need not be in the repository that lists them: their bytes come from `urls`. */
export function isForeignLayer(mediaType: string): boolean {
  return mediaType.includes('.nondistributable.') || mediaType.includes('.foreign.');
}

/** RFC 6838, section 4.2: what image-spec lets stand in `mediaType`. */
const MEDIA_TYPE = /^[A-Za-z0-9][\w!#$&^.+-]{0,126}\/[A-Za-z0-9][\w!#$&^.+-]{0,126}$/;

/** Whether the text is a media type, without parameters: one that is not must go into no header. */
export function isMediaType(text: string): boolean {
  return MEDIA_TYPE.test(text);
}
