import { join } from 'node:path';
import { startDockerRegistry } from '../../bench/fixtures/docker-registry.ts';
import { createImage, type GeneratedImage } from '../../bench/fixtures/image.ts';
import { pushImage } from '../../bench/fixtures/push-image.ts';

/** An image in the registry, and the layout that it came from. */
export interface LibraryImage extends GeneratedImage {
  readonly repository: string;
  /** Without the layer that all images of the library share: what a registry has to send of it. */
  readonly ownBytes: number;
}

/** The images of all runs. */
export interface ImageLibrary {
  /** Folder with a registry's data: each run's registry serves it. */
  readonly registryData: string;
  /** Small: pulled first, so that every process has run once through all of its code. */
  readonly warm: LibraryImage;
  readonly calm: LibraryImage;
  /** As large as the calm one, with other bytes. */
  readonly struck: LibraryImage;
}

const WARM_BYTES = 8 * 1024 * 1024;
/** Statically linked, so that a container of the image can run it. */
const BUSYBOX = '/bin/busybox';

/** Makes the images and pushes them to a registry, which has ended afterwards. */
export async function createImageLibrary(options: {
  readonly folder: string;
  readonly imageBytes: number;
  readonly layers: number;
  readonly signal: AbortSignal;
}): Promise<ImageLibrary> {
  const { folder, imageBytes, layers, signal } = options;
  const registryData = join(folder, 'registry-data');
  const registry = await startDockerRegistry({
    ...{ folder: join(folder, 'registry'), data: registryData, signal },
  });
  const make = async (name: string, totalBytes: number): Promise<LibraryImage> => {
    const layout = { folder: join(folder, name), tag: 'v1', totalBytes, layers, busybox: BUSYBOX };
    const image = await createImage({ ...layout, seed: `chaos/${name}` });
    const repository = `chaos/${name}`;
    await pushImage(image, { registry: registry.url, repository });
    const shared = image.layers[0]?.size ?? 0;
    return { ...image, repository, ownBytes: image.bytes - shared };
  };
  try {
    const [warm, calm, struck] = await Promise.all([
      make('warm', WARM_BYTES),
      make('calm', imageBytes),
      make('struck', imageBytes),
    ]);
    return { registryData, warm, calm, struck };
  } finally {
    await registry.stop();
  }
}
