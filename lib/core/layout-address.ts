import { parseS3Address, type S3Address } from './s3-address.ts';

/** Where images lie as OCI image layouts, without a registry: an absolute folder, or a bucket. */
export type LayoutAddress =
  | { readonly kind: 'folder'; readonly folder: string }
  | { readonly kind: 'bucket'; readonly bucket: S3Address };

/** A colon would begin a tag, as skopeo writes it: the tag belongs to the image's name. */
const FOLDER = /^oci:(?:\/\/(?=\/))?(\/(?!\/)[^:\0]*)$/;

/** Whether the text means to be a {@link LayoutAddress}. */
export function isLayoutAddress(text: string): boolean {
  return /^(?:oci|s3):/.test(text);
}

/** `oci:/srv/images` or `s3://bucket/prefix?endpoint=…`; undefined when the text is neither. */
export function parseLayoutAddress(text: string): LayoutAddress | undefined {
  const bucket = parseS3Address(text);
  if (bucket !== undefined) return { kind: 'bucket', bucket };
  const [, folder] = FOLDER.exec(text) ?? [];
  if (folder === undefined || folder.split('/').includes('..')) return undefined;
  return { kind: 'folder', folder: folder.replace(/(?<=.)\/+$/, '') };
}
