import type { Strategy } from '../outcome.ts';
import { LayerCopies } from './layer-copies.ts';

export const DIRECT = 'direct';

/**
 * No scheme at all: every node reads every layer from the registry. Each one sends the registry a probe, a request for a
 * token, a HEAD and a GET of the manifest, and a GET for each layer. Seeds, zones, the tracker and poison have no
 * meaning here.
 */
export const direct: Strategy = (scenario, onProgress) => new LayerCopies(scenario, false, onProgress).run();
