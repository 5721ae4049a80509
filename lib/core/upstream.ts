/** A registry that blobs and manifests are read from, or, with `*` in its name, a family of them. */
export interface Upstream {
  /** As clients spell the registry: `harbor.corp`, `docker.io`; a `*` stands for one or more labels: `*.gcr.io`. */
  readonly name: string;
  /**
   * Where its API answers, http or https; a path before `/v2` is kept. A host of `*` is the name asked for. Or where
   * images lie without a registry (`lib/core/layout-address.ts`): then `replicas` are such places too.
   */
  readonly url: string;
  /** Further addresses of the same registry, asked in this order while those before them fail. */
  readonly replicas?: readonly string[];
  /** Credentials for reads on our own account; they decide what a caller may read only under `trust: node`. */
  readonly username?: string;
  readonly password?: string;
  /** Paths of files in the form of docker's config.json or containers' auth.json; the first with credentials for it counts. */
  readonly authFiles?: readonly string[];
  /** `ecr-login`: the program `docker-credential-ecr-login` is asked. */
  readonly credentialHelper?: string;
  /** Hosts besides the registry's own domain whose token service may be sent the credentials. */
  readonly tokenHosts?: readonly string[];
  /** PEM text of certificate authorities to trust besides the machine's. */
  readonly ca?: string;
  /** PEM text of our own certificate and its key, shown to the registry's own addresses only. */
  readonly clientCert?: string;
  readonly clientKey?: string;
  /** Takes any certificate that the registry's own addresses show. */
  readonly insecureSkipVerify?: boolean;
  /**
   * Whose rights decide what a caller of the node may read: its own, or, for callers that send none, the node's. `node`
   * makes everybody who reaches the proxy one tenant. @default caller
   */
  readonly trust?: 'caller' | 'node';
  /** Signed tokens that are believed without asking the registry. */
  readonly verify?: TokenVerification;
}

/** Whose tokens are believed without asking the registry. */
export interface TokenVerification {
  /** PEM text of the certificates or public keys that sign them. */
  readonly keys: string;
  /** `iss`: the token service. */
  readonly issuer: string;
  /** `aud`: the registry, as its token service calls it. */
  readonly service: string;
}
