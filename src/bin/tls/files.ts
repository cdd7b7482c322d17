/** The files that TLS takes: a key, a certificate, and whom to trust. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import type { SecureContextOptions, TLSSocketOptions } from 'node:tls';
import { WeftError } from '../../base/errors.ts';
import { reasonOf } from '../daemon/vlog-sinks.ts';

/** The names as configured; undefined where none is. */
export interface TlsNames {
  readonly privateKey: string | undefined;
  readonly certificate: string | undefined;
  /** "none" accepts any peer. */
  readonly caCert: string | undefined;
  /** Where `caCert` does not exist, the first server that we reach says what shall be in it. */
  readonly bootstrap: boolean;
  /** Certificates to send along, so that peers can bootstrap their trust. */
  readonly peerCaCert: string | undefined;
  readonly protocols: string | undefined;
  readonly ciphers: string | undefined;
  /** As a client without a certificate of its own: who it is, it says otherwise. */
  readonly anonymous?: boolean;
}

export const NO_TLS: TlsNames = {
  privateKey: undefined,
  certificate: undefined,
  caCert: undefined,
  bootstrap: false,
  peerCaCert: undefined,
  protocols: undefined,
  ciphers: undefined,
};

/** OpenSSL's names of protocol versions, in the order of their age. */
const VERSIONS = ['TLSv1', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3'] as const;

function file(what: string, name: string | undefined): Buffer {
  if (name === undefined) {
    throw new WeftError('no-tls-file', `TLS needs a ${what}`, {
      remedy: `give it with --${what.replaceAll(' ', '-')}`,
    });
  }
  try {
    return readFileSync(name);
  } catch (error) {
    throw new WeftError('no-tls-file', `${what} "${name}": ${reasonOf(error)}`, { cause: error });
  }
}

/** Differs when the settings do, or when a file of theirs was written anew. */
export function tlsFingerprint(names: TlsNames): string {
  const files = [names.privateKey, names.certificate, names.caCert, names.peerCaCert];
  const times = files.map((name) => {
    const found = name === undefined ? undefined : statSync(name, { throwIfNoEntry: false });
    // A file that another was renamed over may be as old as that one was.
    return found === undefined ? 0 : [found.mtimeMs, found.ino];
  });
  return JSON.stringify([names, times]);
}

/** The file that is to be made of the first server's authority; undefined: authorities are known. */
export function awaitedAuthority({ bootstrap, caCert }: TlsNames): string | undefined {
  return bootstrap && caCert !== undefined && caCert !== 'none' && !existsSync(caCert) ? caCert : undefined;
}

/**
 * What Node needs to speak TLS. Throws `WeftError` that names the file at fault. A client that waits for an
 * authority takes whatever it meets: the caller must look at it.
 */
export function tlsOptions(
  names: TlsNames,
  side: 'client' | 'server',
): SecureContextOptions & TLSSocketOptions {
  const verify = names.caCert !== 'none' && !(side === 'client' && awaitedAuthority(names) !== undefined);
  if (
    side === 'client' &&
    names.anonymous === true &&
    names.certificate === undefined &&
    names.privateKey === undefined
  )
    return { ca: verify ? file('ca cert', names.caCert) : undefined, rejectUnauthorized: verify };
  const certificate = file('certificate', names.certificate);
  const versions = VERSIONS.filter((v) => names.protocols?.split(/[ ,]+/).includes(v));
  return {
    key: file('private key', names.privateKey),
    cert:
      names.peerCaCert === undefined
        ? certificate
        : [certificate, file('peer ca cert', names.peerCaCert)].join('\n'),
    ca: verify ? file('ca cert', names.caCert) : undefined,
    requestCert: verify,
    rejectUnauthorized: verify,
    ...(versions.length === 0 ? {} : { minVersion: versions[0], maxVersion: versions.at(-1) }),
    ...(names.ciphers === undefined ? {} : { ciphers: names.ciphers }),
  };
}
