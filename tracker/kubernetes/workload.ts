import { z } from 'zod';

/** What opts a workload in or out, and says to whom its images go. */
const PREHEAT = 'damselfly.io/preheat';
const PREHEAT_NODES = 'damselfly.io/preheat-nodes';
/** Containers of a pod, each kind. */
const MAX_CONTAINERS = 100;
const MAX_IMAGE_CHARS = 1024;

const containers = z
  .array(z.object({ image: z.string().max(MAX_IMAGE_CHARS).optional() }))
  .max(MAX_CONTAINERS)
  .nullish();
/** Of a Deployment, DaemonSet or StatefulSet (apps/v1), what counts here. */
const workload = z.object({
  metadata: z.object({
    uid: z.string().min(1),
    name: z.string(),
    namespace: z.string(),
    annotations: z.record(z.string(), z.string()).nullish(),
  }),
  spec: z.object({
    template: z.object({ spec: z.object({ containers, initContainers: containers }) }),
  }),
});

/** An image that is to be brought, and to whom when the workload says so. */
export interface WantedImage {
  readonly image: string;
  readonly nodes?: string;
}

export interface Workload {
  readonly uid: string;
  /** `namespace/name`, for people. */
  readonly name: string;
  /** Empty when it is not opted in. */
  readonly wanted: readonly WantedImage[];
}

/**
 * @param object as the API server tells it
 * @param all workloads without an annotation count too
 * @returns undefined for what is no workload
 */
export function readWorkload(object: unknown, all: boolean): Workload | undefined {
  const { data } = workload.safeParse(object);
  if (data === undefined) return undefined;
  const { annotations, name, namespace, uid } = data.metadata;
  const said = annotations?.[PREHEAT];
  const nodes = annotations?.[PREHEAT_NODES];
  const { containers: main, initContainers: before } = data.spec.template.spec;
  const images = [...(before ?? []), ...(main ?? [])].flatMap(({ image }) =>
    image === undefined || image === '' ? [] : [image],
  );
  const isWanted = said === undefined ? all : said === 'true';
  return {
    uid,
    name: `${namespace}/${name}`,
    wanted: isWanted
      ? [...new Set(images)].map((image) => ({ image, ...(nodes === undefined ? {} : { nodes }) }))
      : [],
  };
}
