import { DamselflyError } from '../../../lib/core/errors.ts';
import type { Strategy } from '../outcome.ts';
import { LayerCopies } from './layer-copies.ts';

export const WHOLE_LAYER = 'whole layer';

/**
 * A kind of scheme, not a product: mirrors without state that copy a whole layer from one complete holder. A node asks a
 * directory who has the layer and reads it from a random one of them; when nobody has it, from the registry. So a cold
 * flash crowd is a crowd of direct reads. There are no seeds. A node sends the registry a probe, a request for a token
 * and a HEAD and a GET of the manifest unless the directory knows a holder of the first layer when it starts, and then a
 * GET for each layer that nobody has (after a probe and a token, if it had none).
 * @throws CONFIG_INVALID for a zone rate, which this model does not know
 */
export const wholeLayer: Strategy = (scenario, onProgress) => {
  if (scenario.zoneRate !== Number.POSITIVE_INFINITY) {
    throw new DamselflyError('CONFIG_INVALID', `the model "${WHOLE_LAYER}" does not know rates of zones`);
  }
  return new LayerCopies(scenario, true, onProgress).run();
};
