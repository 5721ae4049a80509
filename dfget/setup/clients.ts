import { buildkitSetup } from './buildkit.ts';
import type { SetupClient } from './client.ts';
import { containerdSetup } from './containerd.ts';
import { dockerSetup } from './docker.ts';
import { k3sSetup } from './k3s.ts';
import { crioSetup, podmanSetup } from './registries-conf.ts';

/** Every client that `dfget setup` knows. */
export const SETUP_CLIENTS: readonly SetupClient[] = [
  containerdSetup,
  dockerSetup,
  podmanSetup,
  crioSetup,
  k3sSetup,
  buildkitSetup,
];
