/** What is known of an account at a registry. */
export type Secret =
  | { readonly kind: 'password'; readonly username: string; readonly password: string }
  /** An OAuth2 refresh token (docker: "identity token"). */
  | { readonly kind: 'refresh'; readonly token: string };

/** Where an upstream's credentials come from; asked again whenever a challenge is to be answered. */
export interface SecretSource {
  /** Whether there may be any. */
  readonly configured: boolean;
  /** The credentials for a repository; undefined when there are none. Failures are logged, never thrown. */
  find(repository: string, signal: AbortSignal): Promise<Secret | undefined>;
}

/** The Authorization value of a user and password (RFC 7617). */
export function basicAuthorization(username: string, password: string): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}
