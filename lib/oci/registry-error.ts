import { type DamselflyError, ERROR_CODES, type ErrorCode } from '../core/errors.ts';

/** A failure as registries tell it (distribution-spec, "Error Codes"). */
export interface RegistryError {
  readonly status: number;
  readonly code: RegistryErrorCode;
  readonly message: string;
}

/** Codes of the distribution-spec that we use, and UNAVAILABLE and RANGE_INVALID where it has none. */
export type RegistryErrorCode =
  | 'BLOB_UNKNOWN'
  | 'NAME_UNKNOWN'
  | 'NAME_INVALID'
  | 'DIGEST_INVALID'
  | 'UNAUTHORIZED'
  | 'DENIED'
  | 'UNSUPPORTED'
  | 'TOOMANYREQUESTS'
  | 'RANGE_INVALID'
  | 'UNAVAILABLE';

const CODES: Partial<Record<ErrorCode, RegistryErrorCode>> = {
  UPSTREAM_UNKNOWN: 'NAME_UNKNOWN',
  REFERENCE_INVALID: 'NAME_INVALID',
  DIGEST_INVALID: 'DIGEST_INVALID',
  BLOB_UNKNOWN: 'BLOB_UNKNOWN',
  RANGE_INVALID: 'RANGE_INVALID',
};

/** Refusals of the registry that its client must see as what they are. */
const REFUSALS: Readonly<Record<number, RegistryErrorCode>> = {
  401: 'UNAUTHORIZED',
  403: 'DENIED',
  404: 'BLOB_UNKNOWN',
};

/** How one of our failures is told to a registry client. The message holds nothing but the error's own message. */
export function registryErrorOf(error: DamselflyError): RegistryError {
  const refused = error.code === 'UPSTREAM_REFUSED' ? Number(error.facts['status']) : Number.NaN;
  const refusal = REFUSALS[refused];
  if (refusal !== undefined) return { status: refused, code: refusal, message: error.message };
  return {
    status: ERROR_CODES[error.code].status,
    code: CODES[error.code] ?? 'UNAVAILABLE',
    message: error.message,
  };
}

/** The JSON body that goes with it. */
export function registryErrorBody(error: RegistryError): string {
  return `${JSON.stringify({ errors: [{ code: error.code, message: error.message }] })}\n`;
}
