import t from 'tap';
import { pullBeyondToken } from '../helpers/beyond-token.ts';
import { skipReason } from '../helpers/clients/client.ts';
import { podman } from '../helpers/clients/containers-image.ts';

const MIB = 1024 * 1024;
const skip = skipReason({ programs: ['docker-registry', 'openssl', ...podman.programs] });

t.test('tokens of 20 s, a layer of 90 s, the supernode killed at 60 s: podman succeeds', { skip }, (t) =>
  pullBeyondToken(t, { tokenSeconds: 20, layerSeconds: 90, killSeconds: 60, registryRate: MIB }),
);
